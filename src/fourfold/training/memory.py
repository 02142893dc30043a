"""Memory of one step used again by the next."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's options (malloc.h)."""
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""glibc takes no more."""


@cache
def keep_freed_memory() -> None:
    """Let glibc keep what is freed: else each large tensor of each step is taken from the kernel anew, which clears it
    page by page. Elsewhere the allocator is left alone."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
