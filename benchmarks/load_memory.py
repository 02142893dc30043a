"""Memory taken by loading a model folder: the peak of resident memory against the size of the files.

    python benchmarks/load_memory.py [--gigabytes 1.5] [--shards 3] [--layout llama|fused]

A synthetic bf16 checkpoint of Llama's shape, 7B's proportions, is written in shards, then read by a fresh process,
which reports what it took beyond the interpreter with torch. Every weight is looked at (the check for NaN), so the
mapped pages count: what is not a second copy stays at 1.0 times the files.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from fourfold.files import write_json
from fourfold.models import TransformerConfig
from fourfold.models.families import family_for
from fourfold.models.files import load_model
from fourfold.models.files.folder import make_empty, own_tensors
from fourfold.models.files.tensors import write_weights
from fourfold.models.interop import to_file
from fourfold.models.transformer import Attention, FeedForward, Head, Learned, Norm

LAYER_BYTES = 2 * (4 * 1024 * 1024 + 3 * 1024 * 2816)
VOCABULARY = 32_000


def shape(layout: str, layers: int) -> TransformerConfig:
    """A quarter of the width of Llama 7B; `fused` is GPT-2's layout, where rows have to be gathered and turned."""
    llama = layout == "llama"
    return TransformerConfig(
        vocabulary_size=VOCABULARY,
        hidden_size=1024,
        layers=layers,
        context=2048,
        attention=Attention(heads=8, bias=not llama),
        feed_forward=FeedForward(size=2816, gated=llama, bias=not llama, activation="silu" if llama else "gelu-tanh"),
        norm=Norm(kind="rms" if llama else "layer"),
        head=Head(tied=not llama),
        **({} if llama else {"positions": Learned()}),
    )


def write(folder: Path, layout: str, gigabytes: float, shards: int) -> int:
    """Write the checkpoint; returns the bytes of its weights."""
    config = shape(layout, max(1, int(gigabytes * 1e9 / LAYER_BYTES)))
    family = family_for(config)
    assert family is not None
    empty = own_tensors(make_empty(config))
    # One row of numbers seen many times: writing needs no memory for the weights either.
    tensors = {name: torch.ones((), dtype=torch.bfloat16).expand(tensor.shape) for name, tensor in empty.items()}
    written = to_file(family, config, tensors)
    total = sum(tensor.nbytes for tensor in written.values())
    keys = family.express(config)
    assert keys is not None
    write_json(folder / "config.json", keys)
    write_weights(folder, written, shard_bytes=-(-total // shards))
    return total


def load(folder: Path) -> None:
    """Load and report: bytes before, and the peak."""
    before = resident("VmRSS")
    model = load_model(folder)
    assert next(model.parameters()).dtype == torch.bfloat16
    print(before, resident("VmHWM"))


def resident(line: str) -> int:
    """Resident bytes of this process: now (VmRSS), or at the most so far (VmHWM)."""
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=1.5)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--layout", choices=("llama", "fused"), default="llama")
    parser.add_argument("--load", type=Path)
    options = parser.parse_args()
    if options.load:
        load(options.load)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder, options.layout, options.gigabytes, options.shards)
        command = [sys.executable, __file__, "--load", str(folder)]
        before, peak = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    print(f"{options.layout}: {size / 1e9:.2f} GB of weights in {options.shards} files")
    print(f"before {before / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB: {(peak - before) / size:.2f} times the weights")


if __name__ == "__main__":
    main()
