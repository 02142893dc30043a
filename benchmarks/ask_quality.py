"""How often search finds the passage that answers, on questions that nobody wrote for it.

    python benchmarks/ask_quality.py [--cmrc trial.jsonl] [--faq FOLDER_OF_HTML …] [--encoder MODEL] [--size 1200]

CMRC: Chinese questions, each with the Wikipedia paragraph it was asked of; all paragraphs are the documents.
FAQ: pages whose headings are questions (Debian's `python3-doc`, `anarchism`): each section becomes a file without its
heading, a heading that ends in a question mark is a question, and its section the answer. All other sections of the
folder stay as distractors. Printed: the share of questions whose document stands first, and among the first five, with
95 % Wilson intervals, and the mean time of a search.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import fourfold
from fourfold.measures import wilson_interval
from fourfold.pretraining.corpus import decode, html_parts
from fourfold.utilization.retrieval import DocumentIndex, IndexLimits, Splitting, open_index

SHORTEST_ANSWER = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmrc", type=Path, help="JSON lines with question and context")
    parser.add_argument("--faq", type=Path, nargs="*", default=[], help="folders of HTML whose headings ask")
    parser.add_argument("--encoder", help="a sentence encoder: compare dense and hybrid too")
    parser.add_argument("--size", type=int, default=Splitting().size, help="bytes a passage")
    parser.add_argument("--overlap", type=int, default=Splitting().overlap)
    options = parser.parse_args()
    splitting = replace(Splitting(), size=options.size, overlap=options.overlap)
    sets = [("cmrc", cmrc(options.cmrc))] if options.cmrc else []
    sets += [(str(folder), faq(folder)) for folder in options.faq]
    for name, (documents, questions) in sets:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, documents, questions, Path(folder), splitting, options.encoder)


def cmrc(path: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """Documents, and questions with the number of theirs."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    numbers: dict[str, int] = {}
    questions = [(row["question"], numbers.setdefault(row["context"], len(numbers))) for row in rows]
    return list(numbers), questions


def faq(folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    documents: list[str] = []
    questions: dict[str, int] = {}
    for heading, text in sections(folder):
        if heading.endswith("?") and len(text) >= SHORTEST_ANSWER:
            questions.setdefault(re.sub(r"^[A-Z]?[\d.]+ ", "", heading), len(documents))
        documents.append(text)
    return documents, list(questions.items())


def sections(folder: Path) -> Iterator[tuple[str, str]]:
    """(heading, text without it) of all sections; contents and indices, which list headings, are left out."""
    for path in sorted(folder.rglob("*.html")):
        if not re.search(r"index|contents|toc|append", path.name):
            for part in html_parts(decode(path.read_bytes()).text):
                text = part.text.removeprefix(part.heading).strip()
                if text:
                    yield part.heading, text


def measure(
    name: str,
    documents: Sequence[str],
    questions: Sequence[tuple[str, int]],
    folder: Path,
    splitting: Splitting,
    encoder: str | None,
) -> None:
    docs = folder / "documents"
    docs.mkdir()
    for number, text in enumerate(documents):
        (docs / f"{number}.txt").write_text(text, "utf-8")
    model = fourfold.load(encoder) if encoder else None
    limits = IndexLimits(splitting=splitting)
    with open_index(docs, index_folder=folder / "index", limits=limits, encoder=model) as index:
        report = index.update()
        print(f"{name}: {len(questions)} questions, {len(documents)} documents, {report.passages} passages")
        for method in ("bm25", "dense", "hybrid") if encoder else ("bm25",):
            print(f"  {method:7}{score(index, questions, method)}")


def score(index: DocumentIndex, questions: Sequence[tuple[str, int]], method: str) -> str:
    started = time.perf_counter()
    ranks = [rank(index, question, f"{number}.txt", method) for question, number in questions]
    each = 1000 * (time.perf_counter() - started) / len(questions)
    parts = []
    for most in (1, 5):
        hits = sum(place < most for place in ranks)
        interval = wilson_interval(hits, len(ranks))
        parts.append(f"top-{most} {hits / len(ranks):.1%} [{interval.low:.1%}, {interval.high:.1%}]")
    return ", ".join([*parts, f"{each:.1f} ms a question"])


def rank(index: DocumentIndex, question: str, source: str, method: str) -> int:
    """Of the document among those found, the best passage of each counted; a large number if it is not there."""
    sources = dict.fromkeys(hit.passage.source for hit in index.search(question, 25, method))
    return next((place for place, name in enumerate(sources) if name == source), 10**6)


if __name__ == "__main__":
    main()
