"""What choosing the tokens of a step costs, beside a full sort of the rows.

OMP_NUM_THREADS=1 python benchmarks/choosing_speed.py --rows 16 --vocabulary 49152
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from fourfold.inference import Sampler, Sampling, choose_many

OPTIONS = [
    {"temperature": 0}, {}, {"top_k": 50}, {"top_k": 50, "top_p": 0.9}, {"top_p": 0.5}, {"top_p": 0.9},
    {"min_p": 0.1}, {"typical_p": 0.9}, {"top_k": 50, "repetition_penalty": 1.2},
]  # fmt: skip


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median of some rounds."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    logits = 4.8 * torch.randn(asked.rows, asked.vocabulary, generator=torch.Generator().manual_seed(0))
    print(f"{asked.rows} rows of {asked.vocabulary}, {torch.get_num_threads()} threads\n")
    for options in OPTIONS:
        rows = [(Sampler(Sampling(seed=row, **options), range(500)), ()) for row in range(asked.rows)]
        print(f"{options!s:45} {milliseconds(lambda rows=rows: choose_many(rows, logits), asked.rounds):7.2f} ms")
    print(f"{'a full sort':45} {milliseconds(lambda: logits.sort(-1), asked.rounds):7.2f} ms")


if __name__ == "__main__":
    main()
