"""Memory that the system hands out when it is first written, in pages of a size that suits its use."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor


def untouched(size: int, *, large: bool) -> Tensor:
    """(size,) uint8 zeros on the CPU. `large`: in pages of 2 MiB where the system has them, else never in those."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.frombuffer(mmap.mmap(-1, max(size, 1)), dtype=torch.uint8)[:size]
    # Linux has large pages for memory that no other process shares.
    area = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE if large else mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(area, dtype=torch.uint8)[:size]
