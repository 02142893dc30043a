"""What a family of checkpoints is: a reversible table of names, and its configuration read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal

from fourfold.errors import UserError
from fourfold.models.interop.names import Names
from fourfold.models.interop.normal import Config, normal


@dataclass(frozen=True, kw_only=True)
class Fused:
    """One tensor of the file that is several of ours, weight and bias alike."""

    name: str
    """The file's module name, the layer number as {i}."""
    parts: tuple[str, ...]
    """Our module names in the order of the rows."""
    layout: Literal["concat", "per-head", "grouped"] = "concat"
    """`concat`: all rows of the first part, then of the second. `per-head`: head by head, (query, key, value)
    (GPT-NeoX, BLOOM). `grouped`: the queries of a key-value head, its key, its value (Falcon)."""


def _same_names(config: Config) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture of the ecosystem as values of ours. Tables name modules; `.weight` and `.bias` follow."""

    name: str
    """`model_type` in `config.json`."""
    architectures: Callable[[Config], str]
    """The class name in `config.json`: the head or the task decides."""
    read_config: Callable[[Mapping[str, Any]], Config]
    """From the keys of `config.json`, old and new."""
    write_config: Callable[[Config], dict[str, Any] | None]
    """To the keys of `config.json`; None when the family plainly cannot express the architecture. What reads back
    as another architecture is taken for inexpressible too, so a writer need not look at every option."""
    modules: Mapping[str, str]
    """Our module (or one parameter in full) to Hugging Face's, the layer number as {i}, the expert's as {e}."""
    modules_by_config: Callable[[Config], Mapping[str, str]] = _same_names
    """Entries that some configurations add to `modules` or replace there: the classifier's name, say."""
    fused: tuple[Fused, ...] = ()
    transposed: tuple[str, ...] = ()
    """Ends of our module names whose weight the file stores as (in, out) (GPT-2)."""
    one_row: tuple[str, ...] = ()
    """Our parameters that the file stores as a matrix of one row (BART's `final_logits_bias`)."""
    base: str = ""
    """Prefix of the model without a head, which files of the headless model leave out."""
    observed: Callable[[Mapping[str, Any], AbstractSet[str]], Mapping[str, Any]] = lambda keys, names: keys
    """The keys of `config.json` completed by the names of the file's tensors, where only these tell."""
    spare: tuple[str, ...] = ()
    """Patterns of tensor names that files may hold beyond what their configuration says (BERT's pooler)."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Patterns in names of old files to what stands there today (BERT's `gamma`)."""
    ignored: tuple[str, ...] = ()
    """Patterns of tensor names that files hold and nobody needs."""

    def names(self, config: Config) -> Names:
        """The table for one configuration."""
        return Names({**self.modules, **self.modules_by_config(config)})

    def express(self, config: Config) -> dict[str, Any] | None:
        """The keys of `config.json`; None unless they read back as this very architecture."""
        keys = self.write_config(config)
        if keys is None:
            return None
        keys = {"architectures": [self.architectures(config)], "model_type": self.name, **keys}
        try:
            again = self.read_config(keys)
        except UserError:  # the family has no such value
            return None
        return keys if normal(again) == normal(config) else None
