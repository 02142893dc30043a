"""1, 4, 16 and 64 clients over HTTP with streaming: tokens/s in total, time to the first token, time between tokens.

    python benchmarks/serving_speed.py [MODEL.gguf] --clients 1,4,16,64 --tokens 128 --rounds 3

Beside it run llama.cpp's own server on the same file (package `xllamacpp`), with as many slots as there are clients,
and `transformers` in bf16 with all prompts in one batch (no server: tokens/s only). Two threads each; the clients share
the machine with the server. Servers take turns, round by round; what is told is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from serving.client import Answer, ask, share, started

from fourfold.inference import locate

THREADS = 2
OPENINGS = ["The history of the city begins", "A good engineer knows that", "In the middle of the forest there was",
            "The first rule of cooking is", "When the ship left the harbour", "Most people believe that",
            "The school stood at the end of", "Water boils at a lower temperature"]  # fmt: skip


def prompt(number: int) -> str:
    return f"Part {number + 1}. {OPENINGS[number % len(OPENINGS)]}"


async def crowd(address: str, clients: int, tokens: int) -> dict[str, float]:
    """All clients ask at once, each its own prompt."""
    bodies = [{"prompt": prompt(i), "max_tokens": tokens, "temperature": 0} for i in range(clients)]
    begin = time.perf_counter()
    answers = await asyncio.gather(*(ask(address, "/v1/completions", body) for body in bodies))
    seconds = time.perf_counter() - begin
    bad = [answer for answer in answers if answer.status != 200 or answer.error]
    if bad:
        raise SystemExit(f"{len(bad)} of {clients} failed, such as: {bad[0].status} {bad[0].error[:300]}")
    return summary(answers, seconds)


def summary(answers: list[Answer], seconds: float) -> dict[str, float]:
    gaps = [b - a for answer in answers for a, b in zip(answer.times, answer.times[1:], strict=False)]
    return {
        "tokens_per_second": sum(len(answer.times) for answer in answers) / seconds,
        "first": statistics.median(answer.times[0] for answer in answers if answer.times),
        **{f"p{part}": share(gaps, part / 100) for part in (50, 95, 99)},
    }


def serve_llamacpp(path: str, clients: int) -> None:
    """The peer's server, until it is ended."""
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path, options.port = path, 0
    options.n_parallel, options.n_ctx = clients, 512 * clients
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = THREADS
    options.verbosity = 0
    server = xllamacpp.Server(options)
    print(f"listening on {server.listening_address} .", flush=True)
    while True:
        time.sleep(60)


def batch_transformers(folder: str, clients: int, tokens: int) -> None:
    """The peer's batch: prints tokens/s of generating for all prompts together."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(THREADS)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    inputs = tokenizer([prompt(i) for i in range(clients)], return_tensors="pt", padding=True)
    options = {"do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, **options)
    begin = time.perf_counter()
    model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, **options)
    print(json.dumps({"tokens_per_second": clients * tokens / (time.perf_counter() - begin)}))


def contender(name: str, path: str, folder: str, clients: int, tokens: int) -> dict[str, float]:
    if name == "transformers":
        words = [sys.executable, __file__, "--as", f"transformers:{folder}", "--clients", str(clients)]
        out = subprocess.run([*words, "--tokens", str(tokens)], capture_output=True, text=True, check=True).stdout
        return dict(json.loads(out.splitlines()[-1]))
    words = ["-m", "fourfold", "serve", path, "--port", "0", "--max-running", str(max(clients, 1))]
    pattern = r"Serving .* at (http://[^/]+)/v1"
    if name == "llama.cpp":
        words = [__file__, "--as", f"llama.cpp:{path}", "--clients", str(clients)]
        pattern = r"listening on (\S+) \."
    with started(words, pattern) as (address, _):
        asyncio.run(crowd(address, min(clients, 4), 8))  # warm
        return asyncio.run(crowd(address, clients, tokens))


def folder_for(path: str, place: str) -> str:
    import fourfold

    fourfold.load(path, dtype="bf16").save(place)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--clients", default="1,4,16,64")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", default="fourfold,llama.cpp,transformers")
    parser.add_argument("--as", dest="role", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        name, _, place = options.role.partition(":")
        clients = int(options.clients)
        serve_llamacpp(place, clients) if name == "llama.cpp" else batch_transformers(place, clients, options.tokens)
        return
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    path, names = str(locate(options.model)), options.contenders.split(",")
    with tempfile.TemporaryDirectory() as place:
        folder = folder_for(path, f"{place}/model") if "transformers" in names else ""
        print("| clients | server | tokens/s | first token, ms | between tokens p50, ms | p95 | p99 |")
        print("|---:|---|---:|---:|---:|---:|---:|")
        for clients in map(int, options.clients.split(",")):
            found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    found[name].append(contender(name, path, folder, clients, options.tokens))
            for name, rounds in found.items():
                print(line(clients, name, rounds), flush=True)


def line(clients: int, name: str, rounds: list[dict[str, Any]]) -> str:
    def median(key: str) -> float:
        return statistics.median(one.get(key, float("nan")) for one in rounds)

    times = " | ".join(
        f"{1000 * median(key):.0f}" if key in rounds[0] else "" for key in ("first", "p50", "p95", "p99")
    )
    return f"| {clients} | {name} | {median('tokens_per_second'):.0f} | {times} |"


if __name__ == "__main__":
    main()
