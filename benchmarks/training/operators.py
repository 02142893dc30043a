"""Where a compiled step of ours spends its time, beside what its products take alone.

python benchmarks/training/operators.py [17M]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import torch
from contenders import ours
from shapes import shape_seconds
from sizes import SIZES
from torch.profiler import ProfilerActivity, profile

WARM_UP = 3
KINDS = (
    ("products of layers and head", ("aten::mm", "aten::addmm")),
    (
        "attention",
        (
            "fourfold::blockwise_attention",
            "fourfold::blockwise_attention_backward",
            "aten::bmm",
            "aten::_softmax",
            "aten::_softmax_backward_data",
        ),
    ),
    ("norms, rotation, activation, residual, loss (compiled)", ("## Call CompiledFxGraph",)),
    (
        "AdamW, norm of the gradient, clipping",
        ("Optimizer.step#AdamW.step", "aten::_fused_adamw_", "aten::linalg_vector_norm", "aten::mul_"),
    ),
    ("copies, casts and sums", ("aten::copy_", "aten::add_", "aten::fill_", "aten::cat", "aten::mul")),
)


def kind_of(name: str) -> str:
    found = (kind for kind, starts in KINDS for start in starts if name == start or name.startswith(start + " "))
    return next(found, "Python and everything else")


def by_kind(events: Iterable[Any]) -> dict[str, float]:
    """Seconds of this thread by kind."""
    seconds = dict.fromkeys([kind for kind, _ in KINDS] + ["Python and everything else"], 0.0)
    for event in events:
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    return seconds


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "17M"
    size = SIZES[name]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    losses = ours(size, compile_it=True)
    for _ in range(WARM_UP):
        next(losses)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        began = time.perf_counter()
        next(losses)
        whole = time.perf_counter() - began
    seconds = by_kind(profiled.key_averages())
    seconds["Python and everything else"] += max(0.0, whole - sum(seconds.values()))
    alone = shape_seconds(size)
    bound = {"products of layers and head": sum(alone.values()) - alone["attention"],
             "attention": alone["attention"]}  # fmt: skip
    print(f"{name}: a step of {whole:.3f} s under the profiler; its products alone {sum(alone.values()):.3f} s")
    for kind, spent in seconds.items():
        beside = f"{bound[kind]:8.3f} s alone" if kind in bound else ""
        print(f"  {kind:55} {spent:7.3f} s {spent / whole:6.1%} {beside}")


if __name__ == "__main__":
    main()
