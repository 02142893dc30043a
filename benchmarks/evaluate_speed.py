"""200 MMLU questions, 5-shot, in bf16: `fourfold evaluate` beside lm-eval, the same items and weights.

    python benchmarks/evaluate_speed.py DATA [--model smollm2] [--items 200] [--rounds 3] [--batch-size 8]

DATA holds mmlu/dev.jsonl and one more file of questions. The questions are drawn over all subjects, which is the hard
case for us: what we save are the demonstrations, read once a subject. Runs alternate. Two times are compared: of the
whole process, and of the evaluation alone (ours: the answering, as the result says; lm-eval's: `evaluate`, with
everything loaded). Medians, of processor seconds too (user and system, of the whole process), which stand where other
programs want the same cores; the load of the machine is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import fourfold
from fourfold.files import read_json, read_jsonl

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "evaluation" / "benchmarks"))

from lm_eval_oracle import Data, ask_lm_eval, write_jsonl


def written(data: Path, items: int, folder: Path) -> list[Data]:
    """The drawn questions, in a file a subject for lm-eval and one file for us."""
    (questions,) = [file for file in (data / "mmlu").glob("*.jsonl") if file.stem != "dev"]
    every = [value for _, value in read_jsonl(questions)]
    solved = [value for _, value in read_jsonl(data / "mmlu" / "dev.jsonl")]
    known = {(one["question"], tuple(one["choices"])) for one in solved}
    every = [one for one in every if (one["question"], tuple(one["choices"])) not in known]
    drawn = [every[i] for i in sorted(random.Random(0).sample(range(len(every)), items))]
    write_jsonl(folder / "ours" / "test.jsonl", drawn)
    write_jsonl(folder / "ours" / "dev.jsonl", solved)
    sets = []
    for subject in sorted({record["subject"] for record in drawn}):
        files = [
            write_jsonl(folder / "theirs" / f"{subject}_{split}.jsonl", [r for r in records if r["subject"] == subject])
            for split, records in (("test", drawn), ("dev", solved))
        ]
        sets.append(Data("mmlu", *files, subject))
    return sets


class Run(NamedTuple):
    """One evaluation."""

    whole: float
    """Seconds of the process."""
    processor: float
    """Processor seconds of the process."""
    alone: float
    """Seconds of the evaluation, everything loaded."""
    accuracy: float


def processor() -> float:
    """Processor seconds of all child processes so far."""
    used = os.times()
    return used.children_user + used.children_system


def ours(folder: Path, number: int) -> Run:
    out = folder / f"out{number}"
    command = [sys.executable, "-m", "fourfold", "evaluate", str(folder / "model")]
    command += ["--tasks", f"mmlu@{folder / 'ours'}"]
    began, used = time.perf_counter(), processor()
    subprocess.run([*command, "--shots", "5", "--dtype", "bf16", "-o", str(out)], check=True, capture_output=True)
    whole, used = time.perf_counter() - began, processor() - used
    (row,) = read_json(out / "results.json")["rows"]
    return Run(whole, used, row["seconds"], row["value"])


def theirs(folder: Path, sets: list[Data], number: int, batch_size: int) -> Run:
    began, used = time.perf_counter(), processor()
    answers = ask_lm_eval(
        folder / "model", sets, folder / f"peer{number}", shots=5, dtype="bfloat16", batch_size=batch_size
    )
    whole, used = time.perf_counter() - began, processor() - used
    right = [one.scores["acc"] for asked in answers.asked.values() for one in asked]
    return Run(whole, used, answers.seconds, sum(right) / len(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8, help="lm-eval's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fourfold.load(options.model, dtype="bf16").save(folder / "model")
        sets = written(options.data, options.items, folder)
        rounds = []
        for number in range(options.rounds):
            mine, peer = ours(folder, number), theirs(folder, sets, number, options.batch_size)
            rounds.append((mine, peer))
            load = os.getloadavg()[0]
            print(json.dumps({"fourfold": mine, "lm-eval": peer, "load": round(load, 1)}), flush=True)
    names = {"whole": "whole process", "processor": "processor time of the process", "alone": "without start-up"}
    for field, name in names.items():
        mine, peer = (statistics.median(getattr(both[side], field) for both in rounds) for side in (0, 1))
        print(f"{name}: fourfold {mine:.1f} s, lm-eval {peer:.1f} s, {peer / mine:.2f} times")


if __name__ == "__main__":
    main()
