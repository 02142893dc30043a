"""Peak memory of one packed GGUF file at one context, beside llama.cpp.

    python benchmarks/serving_memory.py [--context 2048] [--model smollm2]

Each has a process of its own, which reads a prompt of 512 tokens and writes 128. What is told is the most resident
memory of the process (VmHWM) above that of its interpreter: ours with torch imported, llama.cpp's (package
`xllamacpp`) with nothing. Ours is the engine, with room for one context of keys and values, as the server runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

PROMPT, WRITTEN = 512, 128


def memory(line: str) -> float:
    """MB of this process: `VmRSS` now, `VmHWM` at most, `RssFile` now that lies in files."""
    status = Path("/proc/self/status").read_text()
    return int(next(one for one in status.splitlines() if one.startswith(line)).split()[1]) / 1000


def ours(model: str, context: int, ids: list[int]) -> float:
    import torch

    torch.set_num_threads(2)
    before = memory("VmRSS")
    import fourfold
    from fourfold.inference import Engine, EngineLimits, Request, Sampler, Sampling

    lm = fourfold.load(model)
    page = lm.module.stack.page_shape.bytes(torch.bfloat16)
    engine = Engine(lm.module, lm.device, limits=EngineLimits(kv_bytes=page * (context // 16 + 1)))
    asked = Request(ids=ids, max_tokens=WRITTEN, sampler=Sampler(Sampling(temperature=0)))
    assert sum(1 for _ in engine.submit(asked)) == WRITTEN + 1
    return before


def llama_cpp(path: str, context: int, ids: list[int]) -> float:
    before = memory("VmRSS")
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = path
    options.n_ctx, options.n_parallel, options.verbosity = context, 1, 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 2
    server = xllamacpp.Server(options)
    asked = {"temperature": 0, "ignore_eos": True, "prompt": ids, "max_tokens": WRITTEN, "n_predict": WRITTEN}
    found = server.handle_completions(asked)
    assert found["timings"]["predicted_n"] == WRITTEN, found
    return before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--only", choices=("fourfold", "llama.cpp"), help="measure one in this process")
    options = parser.parse_args()
    ids = list(range(1000, 1000 + PROMPT))
    if options.only:
        run = ours if options.only == "fourfold" else llama_cpp
        before = run(options.model, options.context, ids)
        print(json.dumps({"above": memory("VmHWM") - before, "end": memory("VmRSS") - before, "before": before}))
        return
    from fourfold.inference import locate

    found = {}
    for name in ("fourfold", "llama.cpp"):
        words = [sys.executable, __file__, "--only", name, "--model", str(locate(options.model))]
        words += ["--context", str(options.context)]
        done = subprocess.run(
            words, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "2"}, check=True
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, {key: f"{value:.0f} MB" for key, value in found[name].items()}, flush=True)
    print(f"ours is {found['fourfold']['above'] / found['llama.cpp']['above']:.2f} times as much")


if __name__ == "__main__":
    main()
