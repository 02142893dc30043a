"""When is it right to say "not in your documents"? Fits the confidence of `fourfold ask` and says what it reaches.

    python benchmarks/ask_calibration.py --cmrc trial.jsonl --docs python_docs_en_zh.jsonl --faq FOLDER … \\
        --elsewhere NQ-open.dev.jsonl --filler FOLDER … [--out results.json]

Collections of questions with the document each was asked of: CMRC (Chinese, Wikipedia), the FAQ of the Python
documentation (English and Chinese paragraphs), and folders of HTML whose headings are questions (Debian's `debian-faq`,
`debian-faq-zh-cn`, `anarchism`), headings taken out. Each collection is cut in two halves by document. The first
half is indexed, alone and once more among filler (other collections of its language and the filler folders). Then its
questions have an answer there; those of the second half do not, though they are about the same subject ("near");
nor do those of other collections and of NQ ("far").

The confidence is a logistic function of the coverage and the number of passages. It is fitted on all collections but
one and tried on that one, for each in turn: what is printed was never fitted to. Last come the coefficients from all.
Near questions of FAQs are not fitted to: what one section answers, another often answers too.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.files import read_jsonl, write_json
from fourfold.measures import wilson_interval
from fourfold.pretraining.corpus import decode, html_parts
from fourfold.utilization.answering import THRESHOLD, gather, is_chinese
from fourfold.utilization.retrieval import open_index

SHORTEST_ANSWER = 80
FAR = 150
PER_KIND = 300


class Collection(NamedTuple):
    name: str
    chinese: bool
    questions: list[tuple[str, str]]
    """Question and the document it was asked of."""


class Case(NamedTuple):
    collection: str
    kind: str
    """answerable, near or far."""
    size: str
    """alone or among filler."""
    coverage: float
    passages: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmrc", type=Path, help="JSON lines with question and context")
    parser.add_argument("--docs", type=Path, help="JSON lines with file, en, zh: paragraphs of Python's documentation")
    parser.add_argument("--faq", type=Path, nargs="*", default=[], help="folders of HTML whose headings are questions")
    parser.add_argument("--elsewhere", type=Path, help="JSON lines with questions that none of it answers")
    parser.add_argument("--filler", type=Path, nargs="*", default=[], help="folders of text to hide the documents in")
    parser.add_argument("--out", type=Path, help="where the features of all questions are written")
    options = parser.parse_args()
    collections = list(read_collections(options))
    elsewhere = [value["question"] for _, value in read_jsonl(options.elsewhere)] if options.elsewhere else []
    filler = [text for folder in options.filler for text in texts_in(folder)]
    cases = [case for one in collections for case in cases_of(one, collections, elsewhere, filler)]
    if options.out:
        write_json(options.out, [case._asdict() for case in cases])
    for one in collections:
        coefficients = fit([case for case in cases if case.collection != one.name])
        show(one.name, [case for case in cases if case.collection == one.name], coefficients)
    print("intercept, coverage, ln passages:", *(f"{value:.2f}" for value in fit(cases)))


def read_collections(options: argparse.Namespace) -> Iterator[Collection]:
    if options.cmrc:
        rows = [value for _, value in read_jsonl(options.cmrc)]
        yield Collection("cmrc", True, [(row["question"], row["context"]) for row in rows])
    if options.docs:
        rows = [value for _, value in read_jsonl(options.docs) if value["file"].startswith("faq/")]
        for language in ("en", "zh"):
            yield Collection(f"python-{language}", language == "zh", paragraphs(rows, language))
    for folder in options.faq:
        asked = [(heading, text) for heading, text in sections(folder) if heading[-1] in "?？"]
        found = [(question, text) for question, text in asked if len(text) >= SHORTEST_ANSWER]
        yield Collection("/".join(folder.parts[-2:]), is_chinese(" ".join(q for q, _ in found)), found)


def paragraphs(rows: Sequence[dict[str, str]], language: str) -> list[tuple[str, str]]:
    """A paragraph that is a question, with those up to the next one."""
    found: list[tuple[str, list[str]]] = []
    for row in rows:
        if row["en"].rstrip().endswith("?") and len(row["en"]) < 160 and row["en"][0].isupper():
            found.append((row[language].strip(), []))
        elif found:
            found[-1][1].append(row[language])
    texts = [(question, "\n\n".join(parts)) for question, parts in found]
    return [(question, text) for question, text in texts if len(text) >= SHORTEST_ANSWER]


def sections(folder: Path) -> Iterator[tuple[str, str]]:
    """(heading without its number, text without it); contents and indices, which list headings, are left out."""
    seen = set()
    for path in sorted(folder.glob("*.html")):
        if not re.search(r"index|contents|toc|append", path.name):
            for part in html_parts(decode(path.read_bytes()).text):
                text = part.text.removeprefix(part.heading).strip()
                heading = re.sub(r"^[A-Z]?[\d.]+\s+", "", part.heading.rpartition(" > ")[2]).strip()
                if text and heading and heading not in seen:
                    seen.add(heading)
                    yield heading, text


def texts_in(folder: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as place, open_index(folder, index_folder=place) as index:
        index.update()
        documents: dict[str, list[str]] = {}
        for passage in index.passages():
            documents.setdefault(passage.source, []).append(passage.text)
    yield from ("\n\n".join(parts) for parts in documents.values())


def first_half(document: str) -> bool:
    return hashlib.sha256(document.encode()).digest()[0] < 128


def cases_of(
    one: Collection, collections: Sequence[Collection], elsewhere: Sequence[str], filler: Sequence[str]
) -> Iterator[Case]:
    chance = random.Random(0)
    inside = [question for question, text in one.questions if first_half(text)]
    near = [question for question, text in one.questions if not first_half(text)]
    others = [other for other in collections if other.chinese == one.chinese and other.name != one.name]
    far = [question for other in others for question, _ in other.questions]
    far = chance.sample(far, min(FAR, len(far)))
    if not one.chinese:
        far += chance.sample(list(elsewhere), min(FAR, len(elsewhere)))
    own = {text for _, text in one.questions if first_half(text)}
    around = {text for other in others for _, text in other.questions} | {
        text for text in filler if is_chinese(text[:2000]) == one.chinese
    }
    kinds = {"answerable": inside, "near": near, "far": [q for q in far if q not in dict(one.questions)]}
    for size, documents in (("alone", own), ("among filler", own | around)):
        # The far questions of other collections do have their answer among the filler.
        asked = kinds if size == "alone" else {**kinds, "far": [q for q in kinds["far"] if q in set(elsewhere)]}
        with tempfile.TemporaryDirectory() as folder:
            for number, text in enumerate(sorted(documents)):
                (Path(folder) / f"{number}.txt").write_text(text, "utf-8")
            with tempfile.TemporaryDirectory() as place, open_index(folder, index_folder=place) as index:
                index.update()
                for kind, questions in asked.items():
                    for question in chance.sample(questions, min(PER_KIND, len(questions))):
                        texts = [hit.passage.text for hit in index.search(question, 8)]
                        evidence = gather(question, texts, index)
                        yield Case(one.name, kind, size, evidence.coverage, evidence.passages)


def features(cases: Sequence[Case]) -> NDArray[np.float64]:
    return np.array([[1, case.coverage, np.log(max(case.passages, 1))] for case in cases])


def fit(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Logistic regression by Newton's method; answerable and others of each collection and size weigh the same."""
    used = [case for case in cases if case.kind != "near" or case.collection == "cmrc"]
    groups = [(case.collection, case.size, case.kind == "answerable") for case in used]
    weights = np.array([1 / groups.count(group) for group in groups])
    x, y = features(used), np.array([float(group[2]) for group in groups])
    coefficients = np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ coefficients))
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(3)
        coefficients += np.linalg.solve(hessian, x.T @ (weights * (y - p)))
    return coefficients


def show(name: str, cases: Sequence[Case], coefficients: NDArray[np.float64]) -> None:
    for size in ("alone", "among filler"):
        here = [case for case in cases if case.size == size]
        print(f"{name}, {size}, {max((case.passages for case in here), default=0)} passages")
        for kind, wrong in (("answerable", "refused"), ("near", "answered"), ("far", "answered")):
            some = [case for case in here if case.kind == kind]
            if some:
                sure = 1 / (1 + np.exp(-features(some) @ coefficients)) >= THRESHOLD
                count = int((~sure).sum() if kind == "answerable" else sure.sum())
                rate, low, high, _ = wilson_interval(count, len(some))
                print(f"  {kind}: {wrong} {rate:.1%} ({low:.1%}–{high:.1%}), n = {len(some)}")


if __name__ == "__main__":
    main()
