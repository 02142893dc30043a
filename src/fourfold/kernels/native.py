"""The compiled library of `native/`: whether it is here, what it runs on this processor, and its functions.

It is built when Fourfold is installed, if there is a C++ compiler, and picks the processor's instructions when it
is loaded. Without it everything runs on torch, slower. `FOURFOLD_KERNELS` chooses by hand: `torch` or one of `SETS`.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

import torch

from fourfold.errors import unknown_name

VERSION = 6
"""Of the structures below, the same as in `native/shapes.hpp`."""
SETS = {"portable": 0, "avx2": 1, "avx512": 2}
"""Sets of instructions, each including those before it."""
TOLD = {"portable": "portable C++", "avx2": "AVX2", "avx512": "AVX-512 VNNI"}
CHOICE = "FOURFOLD_KERNELS"


class WeightCall(ctypes.Structure):
    """A packed matrix; see `native/shapes.hpp` for this and the three below."""

    _fields_ = (
        ("codes", c_void_p),
        ("scales", c_void_p),
        ("leasts", c_void_p),
        ("levels", c_void_p),
        ("bias", c_void_p),
        ("rows", c_int32),
        ("columns", c_int32),
        ("bits", c_int32),
        ("group", c_int32),
    )


class LayerCall(ctypes.Structure):
    _fields_ = (
        *((name, WeightCall) for name in ("query", "key", "value", "output", "gate", "up", "down")),
        *((name, c_void_p) for name in ("norm_attention", "norm_query", "norm_key", "norm_attention_output")),
        *((name, c_void_p) for name in ("norm_feed_forward", "norm_feed_forward_output")),
        ("window", c_int32),
        ("view", c_int32),
    )


class ModelCall(ctypes.Structure):
    _fields_ = (
        ("layers", POINTER(LayerCall)),
        ("norm", c_void_p),
        *((name, c_int32) for name in ("count", "hidden", "heads", "groups", "head_size", "inner")),
        *((name, c_int32) for name in ("activation", "turned", "interleaved")),
        *((name, c_float) for name in ("epsilon", "scale", "softcap")),
    )


class StepCall(ctypes.Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("hidden", "cosine", "sine", "row", "position", "tables")),
        *((name, c_void_p) for name in ("keys", "values", "key_scales", "value_scales")),
        ("pages", c_int64),
        *((name, c_int32) for name in ("tokens", "width", "page", "number", "angles")),
    )


class Kernels(NamedTuple):
    """What runs, and why."""

    library: ctypes.CDLL | None
    name: str
    """One of `SETS`, or `torch`."""
    why: str

    @property
    def set(self) -> int:
        return SETS[self.name]


@cache
def kernels() -> Kernels:
    """The kernels of this process; found and checked once."""
    asked = os.environ.get(CHOICE, "")
    if asked and asked not in (*SETS, "torch"):
        raise unknown_name(f"value of {CHOICE}", asked, (*SETS, "torch"))
    if asked == "torch":
        return Kernels(None, "torch", f"{CHOICE} asks for it")
    library, why = _opened()
    if library is None:
        return Kernels(None, "torch", why)
    best = list(SETS)[library.fourfold_instructions()]
    if asked and SETS[asked] <= SETS[best]:
        return Kernels(library, asked, f"{CHOICE} asks for it")
    if asked:
        return Kernels(library, best, f"this processor has no {TOLD[asked]}, which {CHOICE} asks for")
    return Kernels(library, best, "the best that this processor has")


def threads() -> int:
    """How many threads a call may use: as many as torch's operators."""
    return torch.get_num_threads()


def _borrow_threads(library: ctypes.CDLL) -> None:
    """Let regions between torch's operators run on the threads of torch's own OpenMP, where that can be found."""
    place = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        fork = ctypes.CDLL(str(place)).GOMP_parallel  # of the library that this one is linked with
    except (OSError, AttributeError):
        return  # another system, or another OpenMP
    library.fourfold_borrow_threads.argtypes = [c_void_p]
    library.fourfold_borrow_threads(ctypes.cast(fork, c_void_p))


def _opened() -> tuple[ctypes.CDLL | None, str]:
    places = [Path(__file__).parent / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = next((place for place in places if place.is_file()), None)
    advice = "'pip install' of Fourfold with a C++ compiler builds it"
    if found is None:
        return None, f"the compiled library is not installed: {advice}"
    try:
        library = ctypes.CDLL(str(found))
        version = library.fourfold_version()
    except (OSError, AttributeError) as error:
        return None, f"the compiled library cannot be opened ({error}): {advice}"
    if version != VERSION:
        return None, f"the compiled library is of version {version}, not {VERSION}: {advice}"
    _borrow_threads(library)
    library.fourfold_room.restype = c_int64
    library.fourfold_room.argtypes = [c_int64, c_int32]
    library.fourfold_product.argtypes = [POINTER(WeightCall), c_void_p, c_int64, c_void_p, c_void_p, c_int, c_int]
    library.fourfold_product.restype = None
    library.fourfold_look_up.restype = c_int
    library.fourfold_look_up.argtypes = [POINTER(WeightCall), c_void_p, c_int64, c_void_p, c_int]
    library.fourfold_step_room.restype = c_int64
    library.fourfold_step_room.argtypes = [POINTER(ModelCall), c_int64]
    library.fourfold_step.argtypes = [POINTER(ModelCall), POINTER(StepCall), c_void_p, c_void_p, c_int64, c_int, c_int]
    library.fourfold_step.restype = None
    library.fourfold_multiplies_bf16.restype = c_int
    library.fourfold_attention.argtypes = [c_void_p, c_int, c_int]
    library.fourfold_attention.restype = None
    library.fourfold_few.argtypes = [c_void_p, c_int]
    library.fourfold_few.restype = None
    library.fourfold_step_in_bytes.argtypes = [c_void_p, c_int, c_int]
    library.fourfold_step_in_bytes.restype = None
    library.fourfold_integers.argtypes = [POINTER(WeightCall), c_int, c_void_p, c_void_p, c_int]
    library.fourfold_integers.restype = None
    return library, ""
