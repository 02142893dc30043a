"""Packed weights in a model folder: what `config.json` says of them, and their tensors.

`quantization_config` names the format and, of every packed weight, its rows, its columns and how many values share a
scale. The tensors are those of `models/packed.py`: `NAME.packed.codes`, `.scales`, and where there are some `.leasts`
and `.levels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.kernels import LowBit
from fourfold.models.linear import places_to_pack
from fourfold.models.packed import Packed

KEY, METHOD, VERSION = "quantization_config", "fourfold", 1
PARTS = {"codes": torch.uint8, "scales": torch.float16, "leasts": torch.float16, "levels": torch.int8}
LANES, BLOCK = 16, 32


def describe_packed(module: nn.Module) -> dict[str, Any]:
    """What `config.json` says of the packed weights; empty when there are none."""
    found = {name.removesuffix(".packed"): part for name, part in module.named_modules() if isinstance(part, Packed)}
    sizes = {name: list(part.sizes) for name, part in found.items()}
    return {KEY: {"quant_method": METHOD, "version": VERSION, "weights": sizes}} if sizes else {}


def read_packed(module: nn.Module, tensors: Mapping[str, Tensor], said: object, where: Path) -> dict[str, LowBit]:
    """The packed weights of a folder by the names of their places; UserError when they make no sense."""
    if not isinstance(said, dict) or said.get("quant_method") != METHOD or said.get("version") != VERSION:
        got = said.get("quant_method") if isinstance(said, dict) else said
        raise UserError(f"unknown quantization in {KEY}", where=where, expected=f"{METHOD}, version {VERSION}", got=got)
    weights, places = said.get("weights"), set(places_to_pack(module))
    if not isinstance(weights, dict) or not all(_are_sizes(sizes) for sizes in weights.values()):
        raise UserError(f"{KEY} does not say the sizes of the weights", where=where, expected="[rows, columns, group]")
    strange = sorted(set(weights) - places)
    if strange:
        raise UserError("the model has no such weight to pack", where=where, got=strange[0])
    return {name: _one(module, tensors, name, sizes, where) for name, sizes in weights.items()}


def _are_sizes(sizes: object) -> bool:
    return isinstance(sizes, list) and len(sizes) == 3 and all(type(size) is int and size > 0 for size in sizes)


def _one(module: nn.Module, tensors: Mapping[str, Tensor], name: str, sizes: list[int], where: Path) -> LowBit:
    rows, columns, group = sizes
    wanted = tuple(module.get_parameter(f"{name}.weight").shape)
    found = {part: tensors.get(f"{name}.packed.{part}") for part in PARTS}
    for problem in _problems(found, sizes, wanted):
        raise UserError(f"the packed weight '{name}' does not fit: {problem}", where=where)
    codes, scales, leasts, levels = found.values()
    assert codes is not None
    assert scales is not None
    return LowBit(codes, scales, leasts, levels, rows, columns, group)


def _problems(found: Mapping[str, Tensor | None], sizes: list[int], wanted: tuple[int, ...]) -> Iterator[str]:
    rows, columns, group = sizes
    tiles, blocks = -(-rows // LANES), -(-columns // BLOCK)
    if (rows, columns) != wanted:
        yield f"{rows} x {columns} numbers instead of {wanted}"
    if group % BLOCK and group != LANES:
        yield f"groups of {group} values instead of 16 or a multiple of 32"
    shared = (tiles, -(-blocks * BLOCK // group), LANES)
    shapes: dict[str, list[tuple[int, ...]]] = {"scales": [shared], "leasts": [shared], "levels": [(LANES,)]}
    shapes["codes"] = [(tiles, blocks, LANES * BLOCK * bits // 8) for bits in (4, 8)]
    for part, tensor in found.items():
        if tensor is None and part in ("codes", "scales"):
            yield f"it has no {part}"
        elif tensor is not None and (tensor.dtype is not PARTS[part] or tuple(tensor.shape) not in shapes[part]):
            yield f"{part} of {tuple(tensor.shape)}, {tensor.dtype}"
        elif tensor is not None and tensor.dtype is torch.float16 and not bool(tensor.isfinite().all()):
            yield f"{part} that are not numbers"
    codes, levels = found["codes"], found["levels"]
    if codes is not None and group == LANES and codes.shape[-1] != LANES * BLOCK:
        yield "groups of 16 values in 4 bits"
    if levels is not None and codes is not None and codes.shape[-1] == LANES * BLOCK:
        yield "levels of 8-bit codes"
