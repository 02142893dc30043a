"""One stream from a packed GGUF file, beside llama.cpp and transformers: 128 tokens, and a prompt of 512.

    python benchmarks/decode_speed.py [--rounds 5] [--threads 2] [--peers llama.cpp,transformers] [--keys bf16]

Each has a process of its own, turn by turn, so that no one's waiting threads take another's cores. Medians of the
rounds, tokens a second.
llama.cpp (package `xllamacpp`) runs the same file and reports its own times, without its HTTP; transformers runs the
same weights unpacked to bf16. Ours is the model's step on paged keys and values with the most probable token taken,
as the engine runs it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

import fourfold
from fourfold.inference import locate
from fourfold.models import Step
from fourfold.models.transformer import PagedCache

NEW, LONG, SHORT = 128, 512, 12
NUMBERS = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


class Speed(NamedTuple):
    """Tokens a second."""

    decode: float
    prompt: float


def ours(lm: Any, ids: list[int], dtype: torch.dtype) -> Speed:
    model = lm.module
    pages = model.stack.new_pages(64, dtype)

    def read(cache: PagedCache, tokens: list[int]) -> int:
        hidden = model.hidden(Step(ids=torch.tensor([tokens])), cache)
        return int(model.logits(hidden[:, -1]).argmax(-1))

    with torch.inference_mode():
        cache = PagedCache.empty(pages, 1)
        token = read(cache, ids[:SHORT])
        began = time.perf_counter()
        for _ in range(NEW):
            token = read(cache, [token])
        decode = time.perf_counter() - began
        cache.free()
        cache = PagedCache.empty(pages, 1)
        began = time.perf_counter()
        read(cache, ids[:LONG])
        prompt = time.perf_counter() - began
    return Speed(NEW / decode, LONG / prompt)


def llama_cpp(threads: int) -> Callable[[list[int]], Speed]:
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = str(locate("smollm2"))
    options.n_ctx, options.n_parallel, options.verbosity = 1024, 1, 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
    options.flash_attn_type = 1  # on: a few per cent quicker here
    server = xllamacpp.Server(options)

    def measure(ids: list[int]) -> Speed:
        asked = {"temperature": 0, "cache_prompt": False, "ignore_eos": True, "timings_per_token": True}
        short = server.handle_completions({**asked, "prompt": ids[:SHORT], "max_tokens": NEW, "n_predict": NEW})
        long = server.handle_completions({**asked, "prompt": ids[:LONG], "max_tokens": 1, "n_predict": 1})
        return Speed(short["timings"]["predicted_per_second"], long["timings"]["prompt_per_second"])

    return measure


def transformers() -> Callable[[list[int]], Speed]:
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as folder:
        fourfold.load("smollm2", dtype="bf16").save(Path(folder) / "model")
        model = AutoModelForCausalLM.from_pretrained(Path(folder) / "model", dtype=torch.bfloat16)

    def measure(ids: list[int]) -> Speed:
        asked = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW, "pad_token_id": 2}
        with torch.inference_mode():
            began = time.perf_counter()
            model.generate(torch.tensor([ids[:SHORT]]), **asked)
            decode = time.perf_counter() - began
            began = time.perf_counter()
            model(torch.tensor([ids[:LONG]]), logits_to_keep=1)
            prompt = time.perf_counter() - began
        return Speed(NEW / decode, LONG / prompt)

    return measure


WAITING = {"fourfold": {"OMP_WAIT_POLICY": "passive"}}
"""As the `fourfold` command has it. The peers' threads wait in a spin, their default: llama.cpp needs it (120 tokens a
second, 40 where they sleep)."""
CONTENDERS = ("fourfold", "llama.cpp", "transformers")


def measured(name: str, threads: int, keys: str) -> Speed:
    """The median of three, after one for warming up; in a process that has nothing else."""
    ids = list(range(1000, 1000 + LONG))  # no tokenizer and no model of ours in the peers' processes
    if name == "llama.cpp":
        return middle([measure(ids) for measure in [llama_cpp(threads)] * 4][1:])
    torch.set_num_threads(threads)
    if name == "fourfold":
        lm = fourfold.load("smollm2")
        measure: Callable[[list[int]], Speed] = lambda tokens: ours(lm, tokens, NUMBERS[keys])  # noqa: E731
    else:
        measure = transformers()
    gc.collect()
    return middle([measure(ids) for _ in range(4)][1:])


def middle(speeds: list[Speed]) -> Speed:
    return Speed(*(statistics.median(part) for part in zip(*speeds, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="llama.cpp,transformers")
    parser.add_argument("--keys", choices=NUMBERS, default="fp32", help="number type of keys and values")
    parser.add_argument("--only", choices=CONTENDERS, help="measure one in this process and print it as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options.threads, options.keys)))
        return
    names = [name for name in CONTENDERS if name == "fourfold" or name in options.peers]
    found: dict[str, list[Speed]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            words = ["--only", name, "--threads", str(options.threads), "--keys", options.keys]
            environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)} | WAITING.get(name, {})
            done = subprocess.run(
                [sys.executable, __file__, *words], capture_output=True, text=True, env=environment, check=True
            )
            found[name].append(Speed(*json.loads(done.stdout.splitlines()[-1])))
            speed = found[name][-1]
            print(
                f"{name:14} decode {speed.decode:7.1f}  prompt {speed.prompt:7.1f}  load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    medians = {name: middle(speeds) for name, speeds in found.items()}
    own = medians["fourfold"]
    for name, speed in medians.items():
        ratios = {"decode": round(own.decode / speed.decode, 2), "prompt": round(own.prompt / speed.prompt, 2)}
        print(
            json.dumps(
                {"name": name, "decode": round(speed.decode, 1), "prompt": round(speed.prompt, 1), "ours_times": ratios}
            )
        )


if __name__ == "__main__":
    main()
