"""The tensors of a checkpoint, whole or in pieces, in one file or in several.

    checkpoint.json   "parts": file, SHA-256, its tensors: shape of the whole, where the piece begins, its size
    *.safetensors     one file a process that wrote

Whoever reads asks for a box of a whole tensor and gets it from whichever files hold parts of it, so that the number of
processes may be another one than when it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from safetensors import safe_open
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import hash_file


class Piece(NamedTuple):
    """A box of a whole tensor."""

    shape: tuple[int, ...]
    """Of the whole."""
    offset: tuple[int, ...]
    size: tuple[int, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Piece:
        return cls(tuple(shape), (0,) * len(shape), tuple(shape))

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(self.offset, self.size, strict=True))

    def overlap(self, other: Piece) -> Piece | None:
        """The box that both cover; None where there is none."""
        offset = tuple(map(max, self.offset, other.offset))
        ends = (min(a + m, b + n) for a, m, b, n in zip(self.offset, self.size, other.offset, other.size, strict=True))
        size = tuple(end - start for start, end in zip(offset, ends, strict=True))
        return Piece(self.shape, offset, size) if all(length > 0 for length in size) else None

    def within(self, outer: Piece) -> Piece:
        """This box as seen from the first element of `outer`."""
        return Piece(outer.size, tuple(a - b for a, b in zip(self.offset, outer.offset, strict=True)), self.size)


@final
class StoredTensors:
    """Reads pieces by name; every file is checked against its SHA-256 before the first byte is taken from it."""

    def __init__(self, folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
        self._folder = folder
        self._hashes = {str(part["file"]): str(part["sha256"]) for part in parts}
        self._files: dict[str, Any] = {}
        self._pieces: dict[str, list[tuple[str, Piece]]] = {}
        for part in parts:
            file = str(part["file"])
            for name, piece in self._listed(file, part).items():
                self._pieces.setdefault(name, []).append((file, piece))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The whole shape of every tensor."""
        return {name: pieces[0][1].shape for name, pieces in self._pieces.items()}

    def read(self, name: str, wanted: Piece | None = None) -> Tensor:
        """The wanted box, or the whole tensor."""
        pieces = self._pieces[name]
        wanted = wanted or Piece.whole(pieces[0][1].shape)
        if not wanted.shape:
            return self._open(pieces[0][0]).get_tensor(name)  # type: ignore[no-any-return]  # safetensors has no types
        found: Tensor | None = None
        covered = 0
        for file, piece in pieces:
            common = piece.overlap(wanted)
            if common is None:
                continue
            part = self._open(file).get_slice(name)[common.within(piece).slices]
            if found is None:
                found = torch.empty(wanted.size, dtype=part.dtype)
            found[common.within(wanted).slices] = part
            covered += part.numel()
        total = torch.Size(wanted.size).numel()
        if covered != total:
            raise UserError(f"{covered} of {total} numbers of '{name}' are stored", where=self._folder.name)
        if found is None:  # an empty box, as a process has of a tensor with fewer rows than there are processes
            return torch.empty(wanted.size, dtype=self._open(pieces[0][0]).get_tensor(name).dtype)
        return found

    def _listed(self, file: str, part: Mapping[str, Any]) -> dict[str, Piece]:
        if "tensors" in part:
            return {name: Piece(*map(tuple, box)) for name, box in part["tensors"].items()}
        opened = self._open(file)
        return {name: Piece.whole(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118

    def _open(self, file: str) -> Any:
        if file not in self._files:
            path = self._folder / file
            if Path(file).name != file or not path.is_file():
                raise UserError("a file is missing", where=file)
            if hash_file(path) != self._hashes[file]:
                raise UserError("the bytes do not match their SHA-256", where=file)
            self._files[file] = safe_open(path, framework="pt")
        return self._files[file]
