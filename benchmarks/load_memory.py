"""Memory and time taken by loading a model folder: the peak of resident memory against the size of the files.

    python benchmarks/load_memory.py [--model llama:7b|fused] [--gigabytes 1.5] [--shards 3] [--load-as fp32|bf16]

A synthetic bf16 checkpoint is written in shards: `--model FAMILY:SIZE` is a published shape, whole (llama:7b needs 14
GB of disk and as much memory); without it, `--gigabytes` of Llama's shape at a quarter of 7B's width, or with `fused`
of GPT-2's layout, where rows have to be gathered and turned. A fresh process loads it, reads one token, and reports
what it took beyond the interpreter with torch. Every weight is looked at (the check for NaN), so the mapped pages
count: what is not a second copy stays at 1.0 times the files. `private` is memory that is not pages of the files.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from fourfold.files import write_json
from fourfold.models import Step, TransformerConfig
from fourfold.models.families import family_for
from fourfold.models.files import load_model
from fourfold.models.files.folder import make_empty, own_tensors
from fourfold.models.files.tensors import write_weights
from fourfold.models.interop import to_file
from fourfold.models.transformer import Attention, FeedForward, Head, Learned, Norm
from fourfold.resources import published_config

LAYER_BYTES = 2 * (4 * 1024 * 1024 + 3 * 1024 * 2816)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def quarter(fused: bool, gigabytes: float) -> TransformerConfig:
    """A quarter of the width of Llama 7B, or GPT-2's layout of that size."""
    return TransformerConfig(
        vocabulary_size=32_000,
        hidden_size=1024,
        layers=max(1, int(gigabytes * 1e9 / LAYER_BYTES)),
        context=2048,
        attention=Attention(heads=8, bias=fused),
        feed_forward=FeedForward(size=2816, gated=not fused, bias=fused, activation="gelu-tanh" if fused else "silu"),
        norm=Norm(kind="layer" if fused else "rms"),
        head=Head(tied=fused),
        **({"positions": Learned()} if fused else {}),
    )


def write(folder: Path, config: TransformerConfig, shards: int) -> int:
    """Write the checkpoint; returns the bytes of its weights."""
    family = family_for(config)
    assert family is not None
    empty = own_tensors(make_empty(config))
    # One number seen many times: what is not yet written needs no memory.
    tensors = {name: torch.full((), 0.01, dtype=torch.bfloat16).expand(t.shape) for name, t in empty.items()}
    written = to_file(family, config, tensors)
    total = sum(tensor.nbytes for tensor in written.values())
    keys = family.express(config)
    assert keys is not None
    write_json(folder / "config.json", keys)
    write_weights(folder, written, shard_bytes=-(-total // shards))
    return total


def load(folder: Path, dtype: torch.dtype | None) -> None:
    """Load, read one token, and report bytes and seconds."""
    before = resident("VmRSS"), resident("RssAnon")
    started = time.perf_counter()
    model = load_model(folder, dtype)
    seconds = time.perf_counter() - started
    loaded = resident("VmHWM"), resident("RssAnon")
    with torch.inference_mode():
        model.logits(model.hidden(Step(ids=torch.tensor([[1]]))))
    report = {
        "loaded": loaded[0] - before[0],
        "private": loaded[1] - before[1],
        "peak": resident("VmHWM") - before[0],
        "seconds": seconds,
    }
    print(json.dumps(report))


def resident(line: str) -> int:
    """Bytes of this process: resident now (VmRSS), at the most so far (VmHWM), or not of a file (RssAnon)."""
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama")
    parser.add_argument("--gigabytes", type=float, default=1.5)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--load-as", choices=DTYPES, help="a precision other than the file's bf16")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load, DTYPES.get(options.load_as))
        return
    if ":" in options.model:
        config = published_config(options.model)
        assert isinstance(config, TransformerConfig), "a decoder or an encoder"
    else:
        config = quarter(options.model == "fused", options.gigabytes)
    with tempfile.TemporaryDirectory() as name:
        size = write(Path(name), config, options.shards)
        command = [sys.executable, __file__, "--load", name]
        command += ["--load-as", options.load_as] if options.load_as else []
        report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{options.model}: {size / 1e9:.2f} GB of bf16 weights in {options.shards} files, loaded as "
          f"{options.load_as or 'bf16'} in {report['seconds']:.1f} s")  # fmt: skip
    for what, told in (("loaded", "loading"), ("peak", "with the first token"), ("private", "private when loaded")):
        print(f"{told:22} {report[what] / 1e9:6.2f} GB  {report[what] / size:5.2f} times the weights")


if __name__ == "__main__":
    main()
