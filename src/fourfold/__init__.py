"""Fourfold: a survey of large language models that runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourfold.inference import Continuation, Generation, Sampling, TextScore, load

__version__ = "0.1.0"
__all__ = ["Continuation", "Generation", "Sampling", "TextScore", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `fourfold --help` does not wait for torch."""
    if name in __all__:
        return getattr(import_module("fourfold.inference"), name)
    raise AttributeError(f"module 'fourfold' has no attribute '{name}'")
