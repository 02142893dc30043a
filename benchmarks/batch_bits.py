"""How far an answer depends on its company: ids and log-probabilities of requests alone and together.

    OMP_NUM_THREADS=2 python benchmarks/batch_bits.py [--model smollm2] [--requests 24] [--invariant]

The same greedy requests, of which many begin alike, are decoded together, together in little memory (waiting, shared
beginnings given back), and one by one without sharing. Prints how many have the same ids, and the same bits.
"""

from __future__ import annotations

import argparse
import random

import torch

import fourfold
from fourfold.inference import Engine, EngineLimits, Request, Sampler, Sampling

Answers = list[list[tuple[int | None, float]]]


def answers(
    model: fourfold.inference.LanguageModel, limits: EngineLimits, prompts: list[list[int]], written: int
) -> Answers:
    engine, greedy = Engine(model.module, model.device, limits=limits), Sampling(temperature=0)
    running = [engine.submit(Request(ids=ids, max_tokens=written, sampler=Sampler(greedy))) for ids in prompts]
    return [[(token.id, token.log_prob) for token in one] for one in running]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--requests", type=int, default=24)
    parser.add_argument("--written", type=int, default=24)
    parser.add_argument("--invariant", action="store_true", help="EngineLimits(batch_invariant=True)")
    options = parser.parse_args()
    model, chance = fourfold.load(options.model), random.Random(0)
    module = model.module
    beginning = [chance.randrange(module.vocabulary_size) for _ in range(100)]
    prompts = [
        beginning[: chance.choice((0, 48, 100))]
        + [chance.randrange(module.vocabulary_size) for _ in range(chance.choice((1, 5, 30)))]
        for _ in range(options.requests)
    ]
    assert isinstance(module, torch.nn.Module)
    page = module.stack.page_shape.bytes(Engine(module, model.device).memory.store.dtype)
    kinds = {
        "in little memory": EngineLimits(kv_bytes=30 * page, rows=8, batch_invariant=options.invariant),
        "one by one": EngineLimits(rows=1, share_prefixes=False, batch_invariant=options.invariant),
    }
    together = answers(model, EngineLimits(batch_invariant=options.invariant), prompts, options.written)
    for kind, limits in kinds.items():
        found = answers(model, limits, prompts, options.written)
        pairs = list(zip(together, found, strict=True))
        ids = sum([id for id, _ in a] == [id for id, _ in b] for a, b in pairs)
        bits = sum(a == b for a, b in pairs)
        print(f"{kind:16} {ids:3} of {len(pairs)} with the same ids, {bits:3} with the same bits")


if __name__ == "__main__":
    main()
