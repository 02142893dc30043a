"""Safetensors files, one or many: checked on the way in, whole or absent on the way out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import atomic_file, read_json, write_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD_BYTES = 4_000_000_000
SHOWN = 10
"""Names listed in an error before "and n more"."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file, atomically."""
    with atomic_file(path) as stream:
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, stream.name, {"format": "pt"})


def write_weights(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int = SHARD_BYTES) -> None:
    """`model.safetensors`, or shards with an index when the tensors are larger than one shard."""
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    if len(shards) == 1:
        write_tensors(folder / WEIGHTS, shards[0])
        return
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_tensors(folder / file, shard)
        where |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})


def read_weights(folder: Path, rename: Callable[[str], str] = lambda name: name) -> dict[str, Tensor]:
    """All tensors of a model folder under our names."""
    if (folder / WEIGHTS).is_file():
        return read_tensors(folder / WEIGHTS, rename)
    if (folder / INDEX).is_file():
        return _read_shards(folder, rename)
    pickles = sorted(path.name for path in folder.glob("*.bin") if path.name.startswith("pytorch_model"))
    if pickles:
        raise UserError(
            f"the weights are only in {pickles[0]}, a pickle file, which can run any code when it is read",
            where=folder,
            advice="Convert it where you trust it: transformers' from_pretrained, then save_pretrained.",
        )
    raise UserError("a model folder without weights", where=folder, expected=f"{WEIGHTS} or {INDEX}")


def _read_shards(folder: Path, rename: Callable[[str], str]) -> dict[str, Tensor]:
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise UserError("not an index of shards: no weight_map", where=folder / INDEX)
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file or not (folder / file).is_file():
            raise UserError(f"the index names a file that is not there: {file}", where=folder / INDEX)
        tensors |= read_tensors(folder / file, rename)
    return tensors


def read_tensors(path: Path, rename: Callable[[str], str] = lambda name: name) -> dict[str, Tensor]:
    """The tensors of one safetensors file, memory-mapped; a damaged file raises a UserError."""
    if not path.is_file():
        raise UserError("no such file", where=path)
    try:
        with safe_open(path, framework="pt") as stream:
            return {rename(name): stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, ValueError, OverflowError) as error:
        raise UserError("the safetensors file is damaged or truncated", where=path, got=str(error)) from None


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: Path) -> None:
    """Raise one UserError that names what is missing, left over, misshaped or not a number."""
    problems = {
        "missing": wanted.keys() - found.keys(),
        "not wanted": found.keys() - wanted.keys(),
    }
    shared = wanted.keys() & found.keys()
    misshaped = {name for name in shared if found[name].shape != wanted[name].shape}
    problems["of the wrong shape"] = {
        f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}" for name in misshaped
    }
    problems["with values that are not numbers"] = {name for name in shared if not _is_finite(found[name])}
    told = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if told:
        raise UserError("the weights do not fit the configuration: " + "; ".join(told), where=where)


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    # A sum is a cheap first look: only overflow or a real NaN makes it infinite. Small parts stay on
    # one thread, which on a busy machine is far faster than two that wait for each other.
    parts = torch.split(tensor.reshape(-1), 1 << 15)
    return all(math.isfinite(part.sum(dtype=torch.float32)) or bool(part.isfinite().all()) for part in parts)


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
