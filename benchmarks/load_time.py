"""Seconds until a model is ready, each time in a fresh process.

    python benchmarks/load_time.py [MODEL] [--rounds 7] [--dtype bf16]

`MODEL` is any reference; by default SmolLM2's GGUF file, which has to be unpacked. Of each process: importing what
loading needs (torch is most of it), then `fourfold.load`; by the wall clock and in seconds of processor, which busy
neighbours change less. The file is in the system's cache after the first process, which does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time


def load(reference: str, dtype: str | None) -> None:
    marks = [(time.perf_counter(), time.process_time())]
    import fourfold.inference

    marks.append((time.perf_counter(), time.process_time()))
    fourfold.inference.load(reference, dtype=dtype)
    marks.append((time.perf_counter(), time.process_time()))
    (began, spent), (ready, used), (loaded, total) = marks
    print(json.dumps([ready - began, used - spent, loaded - ready, total - used]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        load(options.model, options.dtype)
        return
    command = [sys.executable, __file__, options.model, "--once"]
    command += ["--dtype", options.dtype] if options.dtype else []
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(options.rounds + 1)
    ][1:]
    wall, processor, load_wall, load_processor = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"import  {wall:6.2f} s, {processor:5.2f} s of processor")
    print(f"load    {load_wall:6.2f} s, {load_processor:5.2f} s of processor   (medians of {options.rounds} processes)")


if __name__ == "__main__":
    main()
