"""A model's matrices in 8 bits, for tests of what runs on packed weights."""

from __future__ import annotations

import torch

from fourfold.kernels import pack
from fourfold.models import TransformerLM
from fourfold.models.linear import hold, places_to_pack
from fourfold.models.packed import Packed


def pack_in_bytes(model: TransformerLM) -> TransformerLM:
    """Every matrix absmax in blocks of 32."""
    for name in places_to_pack(model):
        blocks = model.get_parameter(f"{name}.weight").detach().unflatten(1, (-1, 32))
        scales = blocks.abs().amax(dim=2).div(127).half()
        codes = (blocks / scales.float()[..., None]).round().clamp(-127, 127).to(torch.int8)
        hold(model, name, Packed(pack(codes.flatten(1), scales)))
    return model
