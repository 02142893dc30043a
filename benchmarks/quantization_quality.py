"""Quality per bit: one model in every form `fourfold quantize` knows, as a table.

    python benchmarks/quantization_quality.py MODEL [--text FILE]

MODEL should not be quantized already: a folder of fp32 or bf16 weights. Bits per byte on FILE before and after, bits a
weight with scales, token vectors and everything else counted, and the mean relative error of the weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FORMS = {
    "absmax, 8 bits, a row": "--bits 8",
    "absmax, 8 bits, 32": "--bits 8 --group 32",
    "absmax, 4 bits, 32": "--bits 4 --group 32",
    "absmax, 4 bits, 64": "--bits 4 --group 64",
    "absmax, 4 bits, 128": "--bits 4 --group 128",
    "zero point, 4 bits, 32": "--bits 4 --group 32 --zero-point",
    "zero point, 4 bits, 64": "--bits 4 --group 64 --zero-point",
    "NF4, 64": "--method nf4 --bits 4 --group 64",
    "absmax, 4 bits, 64, head too": "--bits 4 --group 64 --head-bits 4",
}


def report(model: str, text: str | None, options: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        words = ["quantize", model, "-o", str(Path(place) / "out"), "--json", *options.split()]
        words += ["--text", text] if text else []
        done = subprocess.run([sys.executable, "-m", "fourfold", *words], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--text")
    options = parser.parse_args()
    print("| form | bits a weight | error of weights | bits per byte | more |\n|---|---:|---:|---:|---:|")
    for name, words in FORMS.items():
        found = report(options.model, options.text, words)
        before, after = found["bits_per_byte_before"], found["bits_per_byte"]
        print(f"| {name} | {found['bits_per_weight']:.2f} | {found['mean_error']:.2%} | {after:.4f} | "
              f"{after / before - 1:+.2%} |", flush=True)  # fmt: skip
    print(f"| as it was | 32 | | {before:.4f} | |")


if __name__ == "__main__":
    main()
