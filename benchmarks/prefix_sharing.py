"""Questions behind one long beginning, read once or read each time.

    OMP_NUM_THREADS=2 python benchmarks/prefix_sharing.py [--model smollm2] [--questions 32] [--prefix 400]

Rounds with and without sharing alternate; both start with nothing kept. Answers are greedy and short, because what is
measured is reading. Prints the medians, their ratio, and how many tokens went through the model.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

import torch

import fourfold
from fourfold.inference import Engine, EngineLimits, Request, Sampler, Sampling


class Round(NamedTuple):
    """One way of answering all questions."""

    seconds: float
    read: int
    ids: list[list[int]]


def questions(vocabulary: int, count: int, prefix: int, own: int) -> list[list[int]]:
    """Prompts of random ids: `prefix` in common, then `own` each."""
    chance = torch.Generator().manual_seed(0)
    beginning = torch.randint(vocabulary, (prefix,), generator=chance).tolist()
    return [beginning + torch.randint(vocabulary, (own,), generator=chance).tolist() for _ in range(count)]


def answer(model: fourfold.inference.LanguageModel, prompts: list[list[int]], written: int, share: bool) -> Round:
    engine = Engine(model.module, model.device, limits=EngineLimits(share_prefixes=share))
    start = time.perf_counter()
    greedy = Sampling(temperature=0)
    running = [engine.submit(Request(ids=ids, max_tokens=written, sampler=Sampler(greedy))) for ids in prompts]
    ids = [[token.id for token in one if token.id is not None] for one in running]
    return Round(time.perf_counter() - start, engine.counts().tokens_read, ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--prefix", type=int, default=400)
    parser.add_argument("--own", type=int, default=20, help="tokens of a question beyond the common beginning")
    parser.add_argument("--written", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = fourfold.load(options.model)
    prompts = questions(model.module.vocabulary_size, options.questions, options.prefix, options.own)
    answer(model, prompts[:2], 2, share=True)
    rounds: dict[bool, list[Round]] = {True: [], False: []}
    for _ in range(options.rounds):
        for share, found in rounds.items():
            found.append(answer(model, prompts, options.written, share))
    medians = {share: statistics.median(one.seconds for one in found) for share, found in rounds.items()}
    for share, found in rounds.items():
        print(f"{'shared' if share else 'apart':7} {medians[share]:6.2f} s, {found[0].read:6} tokens read")
    same = sum(a == b for a, b in zip(rounds[True][0].ids, rounds[False][0].ids, strict=True))
    print(
        f"{medians[False] / medians[True]:.1f} times as fast; {same} of {len(prompts)} greedy answers are the same ids"
    )


if __name__ == "__main__":
    main()
