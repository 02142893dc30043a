"""Safetensors files, one or many: checked on the way in, whole or absent on the way out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

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
HEADER_BYTES = 25_000_000
"""A longer safetensors header or index is refused unread: those of the largest models have a few million."""
PICKLES = ("pytorch_model", "consolidated.")
NUMBERS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


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
        (folder / INDEX).unlink(missing_ok=True)  # of an older model: it would name weights of its own
        return
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_tensors(folder / file, shard)
        where |= dict.fromkeys(shard, file)
    sizes = {
        "total_parameters": sum(tensor.numel() for tensor in tensors.values()),
        "total_size": sum(tensor.nbytes for tensor in tensors.values()),
    }
    write_json(folder / INDEX, {"metadata": sizes, "weight_map": where})
    (folder / WEIGHTS).unlink(missing_ok=True)


class Weights(Mapping[str, Tensor]):
    """The tensors of safetensors files by the files' names, memory-mapped when asked for.

    A damaged file raises a UserError, here or when a tensor is asked for.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = {name: path for path in paths for name in _names(path)}
        self._open: dict[Path, Any] = {}
        self.dtype: torch.dtype | None = None
        """What tensors of another precision are turned into, each as it is asked for; None: they keep their own."""

    def __getitem__(self, name: str) -> Tensor:
        path = self._paths[name]
        with _damage_told(path):
            if path not in self._open:
                self._open[path] = safe_open(path, framework="pt")
            tensor = cast(Tensor, self._open[path].get_tensor(name))  # no page of it is read yet
        return tensor if self._wanted(tensor) is tensor.dtype else self.alone(name)

    def alone(self, name: str) -> Tensor:
        """The tensor in a mapping of its own: its pages go when it goes, as suits what is copied out of it."""
        path = self._paths[name]
        with _damage_told(path), safe_open(path, framework="pt") as stream:
            tensor = cast(Tensor, stream.get_tensor(name))
        return tensor.to(self._wanted(tensor))

    def _wanted(self, tensor: Tensor) -> torch.dtype:
        return tensor.dtype if self.dtype is None or tensor.dtype not in NUMBERS else self.dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def read_weights(folder: Path) -> Weights:
    """All tensors of a model folder, whole or in shards."""
    if (folder / WEIGHTS).is_file():
        return Weights([folder / WEIGHTS])
    if (folder / INDEX).is_file():
        return Weights(_shards(folder))
    pickles = sorted(path.name for path in folder.iterdir() if path.name.startswith(PICKLES))
    if pickles:
        raise UserError(
            f"the weights are only in {pickles[0]}, a pickle file, which can run any code when it is read",
            where=folder,
            advice="Convert it where you trust it: transformers' from_pretrained, then save_pretrained.",
        )
    raise UserError("a model folder without weights", where=folder, expected=f"{WEIGHTS} or {INDEX}")


def _shards(folder: Path) -> list[Path]:
    if (folder / INDEX).stat().st_size > HEADER_BYTES:
        raise UserError("the index of shards is senselessly long", where=folder / INDEX)
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise UserError("not an index of shards: no weight_map", where=folder / INDEX)
    for file in sorted(set(places.values())):
        if Path(file).name != file or not (folder / file).is_file():
            raise UserError(f"the index names a file that is not there: {file}", where=folder / INDEX)
    return [folder / file for file in sorted(set(places.values()))]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, memory-mapped; a damaged file raises a UserError."""
    return dict(Weights([path]))


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError("no such file", where=path)
    _check_header(path)
    with _damage_told(path), safe_open(path, framework="pt") as stream:
        return list(stream.keys())


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, ValueError, OverflowError) as error:
        raise UserError("the safetensors file is damaged or truncated", where=path, got=str(error)) from None


def _check_header(path: Path) -> None:
    """The header begins with its own length: what it claims must be there, and sensible."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        claimed = int.from_bytes(stream.read(8), "little")
    if claimed > size - 8:
        raise UserError(
            "the safetensors file is damaged or truncated: its header claims more bytes than there are",
            where=path, expected=f"at most {max(size - 8, 0)}", got=claimed,
        )  # fmt: skip
    if claimed > HEADER_BYTES:
        raise UserError(
            "the safetensors header is senselessly long", where=path, expected=f"at most {HEADER_BYTES}", got=claimed
        )


def check_tensors(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    where: Path,
    named: Callable[[str], str] = str,
    in_file: Callable[[dict[str, Tensor]], Mapping[str, Tensor]] = dict,
) -> None:
    """Raise one UserError that names what is missing, left over, misshaped or not a number.

    The tensors go by our names; `named` turns one into what the file calls it, `in_file` some of them into the
    file's own, turned and whole, so that shapes are told as who looks into the file sees them.
    """
    missing, spare = {named(name) for name in wanted.keys() - found.keys()}, found.keys() - wanted.keys()
    # One tensor for several of ours, which it could not be cut into.
    whole = {name for name in spare if name in missing}
    shared = wanted.keys() & found.keys()
    misshaped = {name for name in shared if found[name].shape != wanted[name].shape}
    strange = {name for name in shared if found[name].is_floating_point() and found[name].dtype not in NUMBERS}
    wrong = whole | {named(name) for name in misshaped}
    expected = in_file({name: tensor for name, tensor in wanted.items() if named(name) in wrong})
    got = {name: found[name] for name in whole}
    got |= in_file({name: found[name] for name in wanted if name in found and named(name) in wrong})
    problems = {
        "missing": missing - whole,
        "not wanted": {named(name) for name in spare - whole},
        "of the wrong shape": {
            f"{name} {_sizes(got[name])} instead of {_sizes(tensor)}" for name, tensor in expected.items()
        },
        "of a type that is not computed with": {f"{named(name)} ({found[name].dtype})" for name in strange},
        "with values that are not numbers": {named(name) for name in shared - strange if not is_finite(found[name])},
    }
    told = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if told:
        raise UserError("the weights do not fit the configuration: " + "; ".join(told), where=where)


def is_finite(tensor: Tensor) -> bool:
    """Whether every value is a number; needs no memory to speak of."""
    if tensor.is_meta:  # a stand-in whose numbers are looked at later
        return True
    if not tensor.is_floating_point():
        return True
    # A sum is a cheap first look: only overflow or a real NaN makes it infinite. Small parts stay on
    # one thread, which on a busy machine is far faster than two that wait for each other.
    parts = torch.split(tensor.reshape(-1), 1 << 15)
    return all(math.isfinite(part.sum(dtype=torch.float32)) or bool(part.isfinite().all()) for part in parts)


def _sizes(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
