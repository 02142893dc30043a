"""Streams decoded together: our engine and `transformers` in one batch, with the same bf16 weights, alternating.

    OMP_NUM_THREADS=2 python benchmarks/engine_speed.py [--model smollm2] [--streams 16] [--written 64]

Both write greedily after prompts of 32 ids and do not stop early. Prints tokens per second of each (medians), the
median of the ratios of pairs, and what a step of ours costs besides the model's own calls.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch

import fourfold
from fourfold.inference import Engine, Request, Sampler, Sampling


class Timed:
    """A function whose calls are counted by the clock."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner, self.seconds = inner, 0.0

    def __call__(self, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = self.inner(*arguments)
        self.seconds += time.perf_counter() - start
        return result


def ours(model: fourfold.inference.LanguageModel, prompts: list[list[int]], written: int) -> float:
    engine, greedy = Engine(model.module, model.device), Sampling(temperature=0)
    start = time.perf_counter()
    running = [engine.submit(Request(ids=ids, max_tokens=written, sampler=Sampler(greedy))) for ids in prompts]
    for one in running:
        assert sum(token.id is not None for token in one) == written
    return len(prompts) * written / (time.perf_counter() - start)


def theirs(model: Any, prompts: list[list[int]], written: int) -> float:
    ids = torch.tensor(prompts)
    start = time.perf_counter()
    with torch.inference_mode():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=written, min_new_tokens=written, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
    assert found.shape[1] == ids.shape[1] + written
    return len(prompts) * written / (time.perf_counter() - start)


def beside_the_model(
    model: fourfold.inference.LanguageModel, prompts: list[list[int]], steps: int
) -> tuple[float, float]:
    """Median milliseconds of a step in which every stream writes a token, and of what is not the model's own calls."""
    module: Any = model.module
    engine, calls = Engine(model.module, model.device), [Timed(module.hidden), Timed(module.logits)]
    module.hidden, module.logits = calls
    for ids in prompts:
        engine.submit(Request(ids=ids, max_tokens=steps + 9, sampler=Sampler(Sampling(temperature=0))))
    whole, rest = [], []
    for number in range(steps + 5):
        before, start = sum(call.seconds for call in calls), time.perf_counter()
        engine.step()
        spent = time.perf_counter() - start
        if number >= 5:
            whole.append(spent)
            rest.append(spent - sum(call.seconds for call in calls) + before)
    del module.hidden, module.logits
    return 1e3 * statistics.median(whole), 1e3 * statistics.median(rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--written", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from transformers import AutoModelForCausalLM

    model = fourfold.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        peer = AutoModelForCausalLM.from_pretrained(f"{folder}/model", dtype=torch.bfloat16).eval()
    chance = torch.Generator().manual_seed(0)
    prompts = torch.randint(1000, model.module.vocabulary_size, (options.streams, 32), generator=chance).tolist()
    ours(model, prompts, 4), theirs(peer, prompts, 4)
    pairs = [
        (ours(model, prompts, options.written), theirs(peer, prompts, options.written)) for _ in range(options.rounds)
    ]
    print(f"ours         {statistics.median(mine for mine, _ in pairs):7.1f} tokens/s, {options.streams} streams")
    print(f"transformers {statistics.median(their for _, their in pairs):7.1f} tokens/s")
    print(f"ratio        {statistics.median(mine / their for mine, their in pairs):7.2f}")
    whole, rest = beside_the_model(model, prompts, 40)
    print(f"a step       {whole:7.1f} ms, of which {rest:.2f} ms are not the model's")


if __name__ == "__main__":
    main()
