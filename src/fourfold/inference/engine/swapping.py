"""Pages of a preempted request in a file, bit by bit: it goes on as if nothing had happened."""

from __future__ import annotations

import tempfile
from typing import IO, final

import torch
from torch import Tensor

from fourfold.models.transformer import Pages


@final
class Swapped:
    """The content of the pages of a table; page 0 stays page 0. The file is nameless and goes with the handle."""

    def __init__(self, pages: Pages, table: list[int]) -> None:
        self.kept = [page > 0 for page in table]
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        index = [page for page in table if page]
        for tensor in pages.tensors():
            self._file.write(_bytes(tensor[:, index]))

    @property
    def needed(self) -> int:
        """Pages it takes to come back."""
        return sum(self.kept)

    def restore(self, pages: Pages) -> list[int]:
        """A table with the same content. There must be as many free pages as `needed`."""
        table = [pages.take() if kept else 0 for kept in self.kept]
        index = [page for page in table if page]
        self._file.seek(0)
        for tensor in pages.tensors():
            shape = (tensor.shape[0], len(index), *tensor.shape[2:])
            data = bytearray(self._file.read(tensor[:, :1].numel() * len(index) * tensor.itemsize))
            tensor[:, index] = torch.frombuffer(data, dtype=tensor.dtype).view(shape).to(tensor.device)
        self.close()
        return table

    def close(self) -> None:
        self._file.close()


def _bytes(tensor: Tensor) -> memoryview:
    plain: memoryview = tensor.contiguous().cpu().view(torch.uint8).numpy().reshape(-1).data
    return plain
