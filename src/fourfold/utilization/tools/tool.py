"""What a tool is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class ToolError(Exception):
    """The tool cannot do what was asked; the text says why and may be shown to the model."""


class Tool(NamedTuple):
    """A function from text to text, called as NAME(text) in an answer; it raises `ToolError` when it cannot."""

    name: str
    run: Callable[[str], str]
