"""The same items, the same model, the same numbers: our log-likelihoods beside lm-eval's, item by item.

    python benchmarks/lm_eval_parity.py DATA [--model smollm2] [--limit 40] [--subjects 8] [--dtype bf16] [-o FILE.json]

DATA is a folder with JSONL files in the plain form {"question", "choices", "answer"}, as SETS names them. They are
rewritten into the hub's columns, read by lm-eval through its own task files and by us through our readers. Said for
each task: requests whose text differs, the largest difference of a log-likelihood, items judged differently.
In fp32 both read fp32 weights; in bf16 the same weights rounded to bf16, where every product rounds in its own way.
BoolQ's file has no passages; each question gets a made one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fourfold
from fourfold.files import read_jsonl

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "evaluation" / "benchmarks"))

from agreement import compare
from lm_eval_oracle import Data, ask_lm_eval, write_jsonl

Record = dict[str, Any]
LETTERS = "ABCDE"


def labelled(record: Record) -> Record:
    choices = record["choices"]
    labels = list(LETTERS[: len(choices)])
    named = {"question": record["question"], "question_stem": record["question"]}
    return {"id": str(record["id"]), **named, "choices": {"text": choices, "label": labels}} | {
        "answerKey": labels[record["answer"]]
    }


def winogrande(record: Record) -> Record:
    first, second = record["choices"]
    return {"sentence": record["question"], "option1": first, "option2": second, "answer": str(record["answer"] + 1)}


def boolq(record: Record) -> Record:
    question = record["question"].removesuffix("?")
    return {"passage": f"This is about {question}.", "question": question, "label": int(record["answer"])}


def truthful(record: Record) -> Record:
    false = record["incorrect_answers"]
    sets = {"mc1_targets": [record["best_answer"]], "mc2_targets": record["correct_answers"]}
    return {"question": record["question"]} | {
        name: {"choices": [*true, *false], "labels": [1] * len(true) + [0] * len(false)} for name, true in sets.items()
    }


def same(record: Record) -> Record:
    return record


SETS: list[tuple[str, str, str, Callable[[Record], Record], int]] = [
    ("arc_easy", "arc/arc_easy_test.jsonl", "arc/arc_easy_train.jsonl", labelled, 0),
    ("arc_challenge", "arc/arc_challenge_train.jsonl", "", labelled, 0),
    ("openbookqa", "openbookqa/test.jsonl", "openbookqa/train.jsonl", labelled, 0),
    ("winogrande", "winogrande/valid.jsonl", "", winogrande, 0),
    ("boolq", "boolq/valid_half_a.jsonl", "", boolq, 0),
    ("commonsense_qa", "commonsenseqa/train_first5000.jsonl", "", labelled, 0),
    ("lambada", "lambada/test_half_a.jsonl", "", same, 0),
    ("truthfulqa_mc1", "truthfulqa/truthfulqa.jsonl", "", truthful, 0),
    ("truthfulqa_mc2", "truthfulqa/truthfulqa.jsonl", "", truthful, 0),
    ("arc_easy", "arc/arc_easy_test.jsonl", "arc/arc_easy_train.jsonl", labelled, 5),
    ("openbookqa", "openbookqa/test.jsonl", "openbookqa/train.jsonl", labelled, 5),
    ("mmlu", "mmlu/test_quarter_a.jsonl", "mmlu/dev.jsonl", same, 5),
]
"""Name, questions, demonstrations, how a record becomes the hub's, shots."""


def spread(records: Iterable[Record], limit: int) -> list[Record]:
    """So many records, evenly from the whole file."""
    every = list(records)
    return every[:: max(1, len(every) // limit)][:limit]


def written(options: argparse.Namespace, folder: Path, shots: int) -> list[Data]:
    """The sets of so many shots as files in the hub's layout; MMLU by subject."""
    found = []
    for name, questions, demonstrations, convert, wanted in SETS:
        if wanted != shots or (options.tasks and name not in options.tasks.split(",")):
            continue
        asked = [value for _, value in read_jsonl(options.data / questions)]
        shown = [value for _, value in read_jsonl(options.data / demonstrations)] if shots else []
        subjects = sorted({record.get("subject", "") for record in asked})
        for subject in spread(subjects, options.subjects):
            mine = [record for record in asked if record.get("subject", "") == subject]
            limit = max(1, options.limit // options.subjects) if subject else options.limit
            place = folder / name / f"{subject or 'all'}_test.jsonl"
            file = write_jsonl(place, [convert(record) for record in spread(mine, limit)])
            solved = [convert(record) for record in shown if record.get("subject", "") == subject][:shots]
            shown_in = write_jsonl(place.with_name(f"{subject or 'all'}_dev.jsonl"), solved) if shots else None
            found.append(Data(name, file, shown_in, subject))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tasks", help="only these, a,b,…")
    parser.add_argument("--limit", type=int, default=40, help="items of a task")
    parser.add_argument("--subjects", type=int, default=8, help="subjects of MMLU")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"], help="of both")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fourfold.load(options.model, dtype="fp32").save(folder / "model")
        model = fourfold.load(str(folder / "model"), dtype=options.dtype)
        peer = {"fp32": "float32", "bf16": "bfloat16"}[options.dtype]
        for shots in sorted({shots for *_, shots in SETS}):
            if not (sets := written(options, folder / f"data{shots}", shots)):
                continue
            theirs = ask_lm_eval(folder / "model", sets, folder / f"peer{shots}", shots=shots, dtype=peer).asked
            for data in sets:
                found = compare(model, data, theirs[data.task], shots)
                rows.append({"shots": shots, **found._asdict()})
                print(f"{shots}-shot {found}", flush=True)
    total = {name: sum(row[name] for row in rows) for name in ("items", "other_texts", "other_scores")}
    print(total | {"largest": max(row["largest"] for row in rows)})
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1), "utf-8")


if __name__ == "__main__":
    main()
