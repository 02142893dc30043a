"""One door to numba: compiled where it is installed, plain Python where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled on first call and cached on disk, so that threads may run it side by side.

    The same function, slower, without numba.
    """
    return _compiled(function)


def compiled_for_threads(function: F) -> F:
    """The same for threads that write to the same numbers: it sums floats in any order."""
    return _compiled(function, fastmath=True)


def processors() -> int:
    """How many threads of kernels are worth starting: the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compiled(function: F, **options: bool) -> F:
    if find_spec("numba") is None:
        return function
    return cast(F, import_module("numba").njit(cache=True, nogil=True, **options)(function))
