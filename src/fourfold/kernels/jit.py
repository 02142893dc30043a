"""One door to numba: compiled where it is installed, plain Python where it is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar, cast

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
    return cast(F, _Later(function, options))


class _Later:
    """A function that numba compiles when one is first called: importing numba takes 60 MB and half a second."""

    known: ClassVar[list[_Later]] = []
    lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, function: Callable[..., Any], options: dict[str, bool]) -> None:
        self.function, self.options = function, options
        self.made: Callable[..., Any] | None = None
        self.known.append(self)
        update_wrapper(self, function)

    def __call__(self, *values: Any) -> Any:
        if self.made is None:
            self._make_all()
        assert self.made is not None
        return self.made(*values)

    @classmethod
    def _make_all(cls) -> None:
        """They call each other, and numba has to find what it made where their modules have these."""
        with cls.lock:
            numba = import_module("numba")
            for later in [later for later in cls.known if later.made is None]:
                later.made = numba.njit(cache=True, nogil=True, **later.options)(later.function)
            for later in cls.known:
                names = later.function.__globals__
                found = {name: value.made for name, value in names.items() if isinstance(value, _Later)}
                names.update(found)
