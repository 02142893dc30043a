"""Tensors between a family's files and our modules: renamed, split, turned; and back, exactly.

A tensor nothing is known about keeps its name, so that the check of names can tell of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fourfold.models.interop.names import KINDS, Pattern
from fourfold.models.interop.normal import Config
from fourfold.models.interop.table import Family, Fused
from fourfold.models.transformer import EncoderDecoderConfig, TransformerConfig


def from_file(
    family: Family,
    config: Config,
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    alone: Callable[[str], Tensor] | None = None,
) -> dict[str, Tensor]:
    """The file's tensors under our names in our shapes; `wanted` are the module's own (empty will do).

    Views of the file where rows only lie one after another, copies where they must be gathered: those tensors are
    asked for through `alone`, so that the file's copy can go at once.
    """
    found: dict[str, Tensor] = {}
    names = family.names(config)
    alone = alone or tensors.__getitem__
    for written in tensors:
        name = written
        for old, new in family.renamed.items():
            name = re.sub(old, new, name)
        if any(re.search(pattern, name) for pattern in family.ignored):
            continue
        spellings = (name, f"{family.base}.{name}") if family.base else (name,)
        whole = _fused(family, spellings, wanted)
        if whole is not None:
            gathered = groups_of(whole[0], config) > 1 or _is_turned(family, whole[1][0])
            tensor = alone(written) if gathered else tensors[written]
            found |= _parts(family, config, whole, tensor, wanted) or {written: tensor}
            continue
        ours = next(filter(None, map(names.ours, spellings)), written)
        if ours not in wanted and any(re.search(pattern, name) for pattern in family.spare):
            continue
        if ours == "head.projection.weight" and ours not in wanted:
            continue  # old files hold a copy of the embedding when the head is tied to it
        tensor = alone(written) if _is_turned(family, ours) else tensors[written]
        if ours in family.one_row and tensor.dim() == 2 and tensor.shape[0] == 1:
            tensor = tensor[0]
        found[ours] = _turned(family, ours, tensor)
    return found


def to_file(family: Family, config: Config, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the file's names in the file's shapes: the inverse of `from_file`."""
    written: dict[str, Tensor] = {}
    names = family.names(config)
    state = dict(state)
    for fused in family.fused:
        for name, parts in _whole_groups(fused, state).items():
            joined = join([state.pop(part) for part in parts], groups_of(fused, config))
            written[name] = _turned(family, parts[0], joined)
    for ours, tensor in state.items():
        theirs = names.theirs(ours)
        assert theirs is not None, f"{family.name} has no name for {ours}"
        row = ours in family.one_row and tensor.dim() == 1
        written[theirs] = tensor[None] if row else _turned(family, ours, tensor)
    if not headless(config) or not family.base:
        return written
    return {name.removeprefix(f"{family.base}."): tensor for name, tensor in written.items()}


def name_in_file(family: Family, config: Config, ours: str) -> str:
    """What the family's files call the tensor that `ours` is, or is a part of; `ours` where they have no name."""
    whole = next(filter(None, (fused_name(fused, ours) for fused in family.fused)), None)
    name = whole or family.names(config).theirs(ours) or ours
    return name.removeprefix(f"{family.base}.") if family.base and headless(config) else name


def headless(config: Config) -> bool:
    """Whether nothing follows the hidden states."""
    decoder = config.decoder if isinstance(config, EncoderDecoderConfig) else config
    return decoder.head is None and decoder.task is None


def split(tensor: Tensor, sizes: list[int], groups: int) -> list[Tensor]:
    """Rows to parts of `sizes` rows, the parts interleaved `groups` times."""
    if groups == 1:
        return list(torch.split(tensor, sizes))
    grouped = tensor.reshape(groups, -1, *tensor.shape[1:])
    parts = torch.split(grouped, [size // groups for size in sizes], dim=1)
    return [part.reshape(size, *tensor.shape[1:]) for part, size in zip(parts, sizes, strict=True)]


def join(parts: list[Tensor], groups: int) -> Tensor:
    """The inverse of `split`."""
    grouped = [part.reshape(groups, -1, *part.shape[1:]) for part in parts]
    return torch.cat(grouped, dim=1).reshape(-1, *parts[0].shape[1:])


def fused_parts(fused: Fused, name: str) -> tuple[str, ...] | None:
    """Our modules or parameters in the file's module or parameter of that name; None when it is another."""
    module, _, kind = name.rpartition(".")
    pattern = Pattern(fused.name)
    for candidate, end in ((name, ""), (module, f".{kind}" if kind in KINDS else None)):
        numbers = pattern.numbers(candidate) if end is not None else None
        if numbers is not None:
            return tuple(part.format(**numbers) + str(end) for part in fused.parts)
    return None


def fused_name(fused: Fused, part: str) -> str | None:
    """The inverse of `fused_parts`: the file's module or parameter that one of ours is part of."""
    module, _, kind = part.rpartition(".")
    for pattern in map(Pattern, fused.parts):
        for candidate, end in ((part, ""), (module, f".{kind}" if kind in KINDS else None)):
            numbers = pattern.numbers(candidate) if end is not None else None
            if numbers is not None:
                return fused.name.format(**numbers) + str(end)
    return None


def groups_of(fused: Fused, config: Config) -> int:
    """How often the parts of a fused tensor alternate."""
    if fused.layout == "concat":
        return 1
    assert isinstance(config, TransformerConfig), "no encoder-decoder family interleaves heads"
    return config.attention.heads if fused.layout == "per-head" else config.kv_heads


def _fused(
    family: Family, spellings: tuple[str, ...], wanted: Mapping[str, Tensor]
) -> tuple[Fused, tuple[str, ...]] | None:
    """How the tensor of that name is fused, and of what; None when it is one of ours alone."""
    for fused in family.fused:
        parts = next(filter(None, (fused_parts(fused, name) for name in spellings)), None)
        if parts is not None and all(part in wanted for part in parts):
            return fused, parts
    return None


def _parts(
    family: Family, config: Config, fusion: tuple[Fused, tuple[str, ...]], tensor: Tensor, wanted: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """None when the tensor does not split into what is wanted."""
    fused, names = fusion
    sizes = [wanted[name].shape[0] for name in names]
    rows = tensor.t() if _is_turned(family, names[0]) and tensor.dim() == 2 else tensor
    if tensor.dim() == 0 or rows.shape[0] != sum(sizes):
        return None
    groups = groups_of(fused, config)
    # What was one stays one after another in memory, so that it can be multiplied as one (`side_by_side`).
    whole = torch.cat(split(rows, sizes, groups)) if groups > 1 else rows.contiguous()
    return dict(zip(names, torch.split(whole, sizes), strict=True))


def _whole_groups(fused: Fused, state: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """The file's parameters that parts in `state` make up."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in state:
        whole = fused_name(fused, name)
        if whole is not None and whole not in groups:
            parts = fused_parts(fused, whole)
            assert parts is not None
            groups[whole] = parts
    return groups


def _is_turned(family: Family, parameter: str) -> bool:
    module, _, kind = parameter.rpartition(".")
    return kind == "weight" and bool(family.transposed) and module.endswith(family.transposed)


def _turned(family: Family, ours: str, tensor: Tensor) -> Tensor:
    return tensor.t().contiguous() if _is_turned(family, ours) and tensor.dim() == 2 else tensor
