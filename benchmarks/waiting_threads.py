"""How fast SmolLM2 scores and decodes with this setting of OpenMP; run it once a setting, and beside a busy program.

    OMP_WAIT_POLICY=passive python benchmarks/waiting_threads.py
    OMP_WAIT_POLICY=active python benchmarks/waiting_threads.py

LOG.md of 2026-11-22 and docs/decisions/007 rest on it.
"""

from __future__ import annotations

import os
import time

import torch

import fourfold

TEXT = "The state of the union is what the people make of it, year after year. " * 60


def main() -> None:
    model = fourfold.load("smollm2")
    model.score([TEXT[:500]])
    began = time.perf_counter()
    score = model.score([TEXT])[0]
    rates = {"score": len(score.ids) / (time.perf_counter() - began)}
    for name, streams, tokens in (("one stream", 1, 32), ("16 streams", 16, 24)):
        sampling = fourfold.Sampling(max_tokens=tokens, temperature=0.8, seed=1)
        began = time.perf_counter()
        prompts = [f"The president said in {1900 + row} that" for row in range(streams)]
        answers = model.generate(prompts, sampling)
        rates[name] = sum(len(answer.ids) for answer in answers) / (time.perf_counter() - began)
    cells, x = torch.nn.LSTM(256, 256, batch_first=True), torch.randn(8, 128, 256)
    began = time.perf_counter()
    for _ in range(5):
        cells(x)[0].sum().backward()
    rates["LSTM steps"] = 5 / (time.perf_counter() - began)
    setting = os.environ.get("OMP_WAIT_POLICY", "default")
    print(f"{setting}: " + ", ".join(f"{name} {rate:.1f}/s" for name, rate in rates.items()))


if __name__ == "__main__":
    main()
