"""What a family of checkpoints is: a reversible table of names, and its configuration read and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fourfold.models.transformer import TransformerConfig

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture of the ecosystem as values of ours. Tables name modules; `.weight` and `.bias` follow."""

    name: str
    """`model_type` in `config.json`, `general.architecture` in GGUF."""
    architecture: str
    """The class name in `config.json`."""
    modules: Mapping[str, str]
    """Our module name to Hugging Face's, the layer number as {i}."""
    gguf_modules: Mapping[str, str]
    """Our module name to GGUF's."""
    gguf_interleaved: tuple[str, ...] = ()
    """Ends of our module names whose rows GGUF stores with the two halves of each rotary pair side by side."""
    read_config: Callable[[Mapping[str, Any]], TransformerConfig]
    """From the keys of `config.json`, old and new."""
    write_config: Callable[[TransformerConfig], dict[str, Any] | None]
    """To the keys of `config.json`; None when the family cannot express the architecture."""
    ignored: tuple[str, ...] = ()
    """Patterns of tensor names that old files hold and nobody needs."""

    @cached_property
    def hugging_face(self) -> Names:
        return Names(self.modules)

    @cached_property
    def gguf(self) -> Names:
        return Names(self.gguf_modules)


class Names:
    """A table of module names read in both directions."""

    def __init__(self, theirs: Mapping[str, str]) -> None:
        self._theirs = dict(theirs)
        self._ours = {name: ours for ours, name in theirs.items()}
        assert len(self._ours) == len(self._theirs), "two modules share a name"

    def theirs(self, parameter: str) -> str | None:
        """The file's name of our parameter or module, or None when the table has none."""
        return _translate(parameter, self._theirs)

    def ours(self, tensor: str) -> str | None:
        """Our name of the file's tensor or module, or None when the table has none."""
        return _translate(tensor, self._ours)


def _translate(name: str, table: Mapping[str, str]) -> str | None:
    number = _NUMBER.search(name)
    general = name if number is None else name[: number.start()] + "{i}" + name[number.end() :]
    module, dot, kind = general.rpartition(".")
    if kind not in ("weight", "bias"):
        module, dot, kind = general, "", ""
    found = table.get(module)
    if found is None:
        return None
    return found.replace("{i}", number[0] if number else "") + dot + kind
