"""One training step, ours beside transformers and LitGPT: the same weights, data, optimizer and clipping.

    python benchmarks/training_speed.py [--sizes 1M,5M,17M,100M] [--rounds N] [--peers DIR] [--operators] [-o FILE.json]

A decoder of LLaMA's kind (17M: 8 layers of 384; context 512, batch 8, vocabulary 8192, tied head; at 100M batch 2 and a
tenth of the rate), AdamW, gradients clipped to 1, two bytes a number in products where it says bf16. Every contender is
a process of its own, warmed up before the first round; in a round each trains the same number of steps in turn, and the
order turns round from one round to the next. A figure is the median over all its steps that count. A turn does not
count when other processes took more than a tenth of the machine meanwhile; it is repeated, and a contender that never
had its quiet turns is void.

`--peers DIR` is a folder with LitGPT in it, which the project does not install:

    pip install --no-deps --target DIR litgpt lightning lightning-utilities torchmetrics

"bound" is the time of the step's matrix products alone, in bf16 and measured in the same rounds. The rate counts 6 N
operations a token over the weights of products, and attention's products over the whole square. "apart" is the mean
distance of the loss to the fp32 run over all steps. Memory is the highest resident set during the steps, compiling
not counted. `--operators` prints where a compiled step of ours spends its time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "training"))

from contenders import CONTENDERS
from family_speed import clock
from sizes import SIZES

HERE = Path(__file__).resolve().parent / "training"
QUIET = 0.1
OURS, DEFAULT, SHAPES = "fourfold", "transformers fp32", "shapes"


@dataclass
class Worker:
    """A contender's process, and what it has done."""

    name: str
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)
    """Of the steps of quiet turns."""
    disturbed: list[float] = field(default_factory=list)
    """Of the others."""
    losses: list[float] = field(default_factory=list)
    shapes: list[dict[str, float]] = field(default_factory=list)
    first: float = 0.0
    peak: int = 0

    @classmethod
    def start(cls, name: str, size: str, peers: Path | None) -> Worker:
        paths = [str(peers)] if peers else []
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*os.environ.get("PYTHONPATH", "").split(), *paths])}
        worker = cls(name, subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), name, size], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ))  # fmt: skip
        ready = worker.answer()
        worker.first, worker.losses = ready.get("first", 0.0), ready.get("losses", [])
        return worker

    def ask(self, question: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has stopped; run its worker by hand to see why")
        found: dict[str, Any] = json.loads(line)
        return found

    def turn(self, steps: int) -> bool:
        """Train `steps` steps; whether the machine was quiet."""
        before, began = clock()[0], time.perf_counter()
        result = self.ask(f"steps {steps}")
        seconds = result.get("seconds") or [sum(result["shapes"].values())]
        foreign = clock()[0] - before - result["processor"]
        quiet = foreign <= QUIET * (time.perf_counter() - began) * (os.cpu_count() or 1) + 0.01  # ticks of a hundredth
        self.losses += result.get("losses", [])
        if self.name == SHAPES:
            self.shapes.append(result["shapes"])
        (self.seconds if quiet else self.disturbed).extend(seconds)
        return quiet

    def finish(self) -> None:
        self.peak = 0 if self.name == SHAPES else self.ask("memory")["peak"]
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def race(size: str, names: list[str], rounds: int, steps: int, patience: int, peers: Path | None) -> dict[str, Worker]:
    workers = [Worker.start(name, size, peers) for name in names]
    wanted, turns = rounds * steps, 0
    while turns < patience * rounds:
        waiting = [worker for worker in workers if len(worker.seconds) < (rounds if worker.name == SHAPES else wanted)]
        if not waiting:
            break
        for worker in waiting if turns % 2 else reversed(waiting):
            worker.turn(steps)
        turns += 1
    for worker in workers:
        worker.finish()
    return {worker.name: worker for worker in workers}


def rows_of(size: str, workers: dict[str, Worker]) -> list[dict[str, Any]]:
    flops = SIZES[size].flops_per_token * SIZES[size].tokens
    reference = workers[DEFAULT].losses
    bound = statistics.median(workers[SHAPES].seconds or workers[SHAPES].disturbed)
    rows = []
    for name, worker in workers.items():
        seconds = statistics.median(worker.seconds or worker.disturbed)
        row = {
            "size": size, "contender": name, "fastest_step": min(worker.seconds + worker.disturbed),
            "tokens_per_second": SIZES[size].tokens / seconds,
            "gflops_per_second": flops / seconds / 1e9, "of_bound": bound / seconds,
            "quiet_steps": len(worker.seconds), "disturbed_steps": len(worker.disturbed),
        }  # fmt: skip
        if name != SHAPES:
            pairs = list(zip(worker.losses, reference, strict=False))
            row["apart"] = statistics.fmean(abs(own - other) for own, other in pairs)
            row |= {"last_loss": pairs[-1][0], "reference_loss": pairs[-1][1]}
            row |= {"peak_gb": worker.peak / 1e9, "first_step_seconds": worker.first}
        rows.append(row)
    return rows


def told(rows: list[dict[str, Any]]) -> str:
    by_name = {row["contender"]: row for row in rows}
    ours, fastest = by_name[OURS]["tokens_per_second"], by_name[OURS]["fastest_step"]
    lines = []
    for row in rows:
        text = f"{row['size']:>4} {row['contender']:28} {row['tokens_per_second']:9,.0f} tokens/s"
        text += f" {row['gflops_per_second']:5.0f} GFLOP/s {row['of_bound']:5.0%} of bound"
        if row["contender"] != SHAPES:
            text += (
                f"  ours {ours / row['tokens_per_second']:4.2f}x (fastest steps {row['fastest_step'] / fastest:4.2f})"
            )
            text += f"  {row['peak_gb']:4.2f} GB"
            text += f"  first {row['first_step_seconds']:4.0f} s  apart {row['apart']:.4f}"
        if not row["quiet_steps"]:
            text += f"  VOID: never quiet ({row['disturbed_steps']} disturbed steps)"
        elif row["disturbed_steps"]:
            text += f"  ({row['quiet_steps']} quiet steps, {row['disturbed_steps']} disturbed)"
        lines.append(text)
    peers = [row for row in rows if not row["contender"].startswith(OURS) and row["contender"] != SHAPES]
    best = max(peers, key=lambda row: row["tokens_per_second"])
    lines.append(
        f"{rows[0]['size']:>4} ours {ours / best['tokens_per_second']:.2f} times the best peer ({best['contender']}), "
        f"{ours / by_name[DEFAULT]['tokens_per_second']:.2f} times {DEFAULT}; memory "
        f"{by_name[OURS]['peak_gb'] / best['peak_gb']:.2f} of that peer's"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="17M")
    parser.add_argument("--rounds", type=int, help="turns of each contender; as many as suit the size if not given")
    parser.add_argument("--steps", type=int, help="steps of a turn, likewise")
    parser.add_argument("--patience", type=int, default=2, help="how many times the wanted turns are tried")
    parser.add_argument("--peers", type=Path, help="a folder with LitGPT in it")
    parser.add_argument("--contenders", help="names, comma between; all that can run if not given")
    parser.add_argument("--operators", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    names = [name for name in CONTENDERS if arguments.peers or not name.startswith("litgpt")]
    if arguments.contenders:
        chosen = arguments.contenders.split(",")
        names = [name for name in names if name in chosen or name in (OURS, DEFAULT)]
    rows = []
    for size in arguments.sizes.split(","):
        rounds, steps = arguments.rounds or SIZES[size].rounds, arguments.steps or SIZES[size].steps
        workers = race(size, [*names, SHAPES], rounds, steps, arguments.patience, arguments.peers)
        found = rows_of(size, workers)
        rows += found
        print(told(found), flush=True)
        if arguments.operators:
            command = [sys.executable, str(HERE / "operators.py"), size]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
