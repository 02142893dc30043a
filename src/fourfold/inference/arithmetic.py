"""What numbers a model computes with: part of every result, as no two kinds give the same last digits."""

from __future__ import annotations

import torch
from torch import nn

from fourfold.kernels import INSTRUCTIONS, kernels
from fourfold.models import Packed

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def arithmetic_of(module: object) -> str | None:
    """As "bf16", or "packed in 4 and 8 bits, products in 8 bits (AVX2), the rest fp32"; None without torch."""
    if not isinstance(module, nn.Module):
        return None
    plain = sorted({NAMES.get(one.dtype, str(one.dtype).removeprefix("torch.")) for one in module.parameters()})
    bits = sorted({part.matrix.bits for part in module.modules() if isinstance(part, Packed)})
    if not bits:
        return " and ".join(plain) or None
    running = kernels()
    products = "in fp32" if running.library is None else f"in 8 bits ({INSTRUCTIONS[running.name]})"
    return f"packed in {' and '.join(map(str, bits))} bits, products {products}, the rest {' and '.join(plain)}"
