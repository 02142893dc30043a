"""One door to numba: compiled where it is installed, plain Python where it is not."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled on first call and cached on disk; the same function, slower, without numba."""
    return _compiled(function)


def compiled_for_threads(function: F) -> F:
    """The same for threads side by side: it lets go of the interpreter's lock, and sums floats in any order."""
    return _compiled(function, nogil=True, fastmath=True)


def _compiled(function: F, **options: bool) -> F:
    if find_spec("numba") is None:
        return function
    return cast(F, import_module("numba").njit(cache=True, **options)(function))
