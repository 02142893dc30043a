"""One contender in a process of its own: reads `steps N` or `memory` on its standard input, answers in JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from contenders import CONTENDERS, Losses
from shapes import shape_seconds
from sizes import SIZES

WARM_UP = 2


def steps(losses: Losses, count: int) -> dict[str, Any]:
    seconds, found, own = [], [], time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        found.append(next(losses))
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "losses": found, "processor": time.process_time() - own}


def peak_bytes() -> int:
    """The most memory the process had since the mark was last reset."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """What compiling took is not what training takes."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    name, size = sys.argv[1], SIZES[sys.argv[2]]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    if name == "shapes":
        shape_seconds(size)
        answer({})
    else:
        losses = CONTENDERS[name](size)
        began = time.perf_counter()
        first = next(losses)
        first_seconds = time.perf_counter() - began
        warm = [first, *(next(losses) for _ in range(WARM_UP - 1))]
        forget_peak()
        answer({"first": first_seconds, "losses": warm})
    for line in sys.stdin:
        word, _, count = line.strip().partition(" ")
        if word == "memory":
            answer({"peak": peak_bytes()})
        elif name == "shapes":
            own = time.process_time()
            answer({"shapes": shape_seconds(size), "processor": time.process_time() - own})
        else:
            answer(steps(losses, int(count)))


if __name__ == "__main__":
    main()
