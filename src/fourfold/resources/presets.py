"""Published architectures as values of our configuration, read from the cards in `architectures/`.

A card holds values only: those its sizes share, then what each size changes. `"none"` stands for an
absent option, `"all"` for a layer without a window, `kind` says which of several options a table is.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from fourfold.errors import UserError, unknown_name
from fourfold.resources.cards import Record, read_records

if TYPE_CHECKING:
    from fourfold.models import EncoderDecoderConfig, TransformerConfig

KINDS = {
    "rotary": "Rotary",
    "learned": "Learned",
    "sinusoidal": "Sinusoidal",
    "relative": "Relative",
    "alibi": "ALiBi",
    "no-positions": "NoPositions",
    "linear": "LinearScaling",
    "ntk": "NTKScaling",
    "dynamic-ntk": "DynamicNTKScaling",
    "yarn": "YaRNScaling",
    "llama3": "Llama3Scaling",
}
"""What `kind` says where an option is one of several classes; elsewhere it is a field like any other."""


class SizeCard(Record):
    """One size of a family."""

    config: Mapping[str, Any]
    published: str | None = None
    """The number of parameters as the source prints it, such as 6.7B."""
    of: Literal["all", "without embeddings"] = "all"
    """What the published number counts."""
    active: str | None = None
    """The published number of parameters a token passes, where there are experts."""
    beyond: int = 0
    """Parameters our configuration has no place for; the family's note says which."""
    source: str
    """Where shape and number are from, in the paper the family cites if no other work is named."""
    note: str = ""
    """Why the published number is not the shape's."""
    unconfirmed: str = ""
    """Values that no source we could read confirms."""
    aliases: tuple[str, ...] = ()


class ArchitectureCard(Record):
    """A family of models that share an architecture."""

    title: str
    citation: str
    note: str = ""
    config: Mapping[str, Any]
    sizes: Mapping[str, SizeCard]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One published architecture."""

    family: str
    size: str
    card: SizeCard
    config: TransformerConfig | EncoderDecoderConfig

    @property
    def reference(self) -> str:
        return f"{self.family}:{self.size}"

    @property
    def source(self) -> str:
        """Where the shape is from: the family's work and the place in it."""
        return f"{architectures()[self.family].citation}; {self.card.source}"


class Agreement(NamedTuple):
    """The shape's number of parameters beside the published one."""

    counted: int
    """What the published number counts, by our arithmetic and with what is beyond our configuration."""
    difference: float
    """(counted - published) / published."""
    how: Literal["within 1 %", "rounds to it", "differs"]


@lru_cache
def architectures() -> dict[str, ArchitectureCard]:
    """Every family's card by name, in the order of the files."""
    found: dict[str, ArchitectureCard] = {}
    for file in sorted((files("fourfold.resources") / "architectures").iterdir(), key=lambda file: file.name):
        found |= {
            name: ArchitectureCard(**record) for name, record in read_records(f"architectures/{file.name}").items()
        }
    return found


def find_preset(reference: str) -> Preset:
    """The architecture of a reference such as `llama:7b`; UserError naming the nearest if there is none."""
    family, _, wanted = reference.lower().partition(":")
    cards = architectures()
    if family not in cards:
        raise unknown_name("family", family, cards)
    sizes = cards[family].sizes
    if not wanted:
        raise UserError(f"the size of {family} is missing", expected=", ".join(f"{family}:{size}" for size in sizes))
    for size, card in sizes.items():
        if wanted == size or wanted in card.aliases:
            return Preset(family=family, size=size, card=card, config=_config(merge(cards[family].config, card.config)))
    raise unknown_name(f"size of {family}", wanted, sizes)


def published_config(reference: str) -> TransformerConfig | EncoderDecoderConfig:
    """The configuration of a published model, such as `llama:7b`, `smollm2:135m` or `t5:11b`."""
    return find_preset(reference).config


def agreement(preset: Preset) -> Agreement | None:
    """How the shape agrees with the published number; None where none is published."""
    from fourfold.models.inspection import count

    if preset.card.published is None:
        return None
    counts = count(preset.config)
    counted = counts.total + preset.card.beyond - (counts.embedding if preset.card.of != "all" else 0)
    value, half = published_number(preset.card.published)
    difference = counted / value - 1
    if abs(difference) <= 0.01:
        return Agreement(counted, difference, "within 1 %")
    return Agreement(counted, difference, "rounds to it" if abs(counted - value) <= half else "differs")


def published_number(text: str) -> tuple[float, float]:
    """A printed number and the half of its last digit: `6.7B` is 6.7e9 and 5e7."""
    match = re.fullmatch(r"([\d,]+)(?:\.(\d+))?([MB]?)", text)
    if match is None:
        raise ValueError(f"expected a number such as 6.7B or 1,065M, got {text!r}")
    whole, decimals, unit = match.groups()
    scale = {"": 1.0, "M": 1e6, "B": 1e9}[unit]
    value = float(f"{whole.replace(',', '')}.{decimals or '0'}") * scale
    return value, scale * 10.0 ** -len(decimals or "") / 2


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The base with the change written over it, table by table; a table of another `kind` replaces."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        alike = (
            isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("kind", "") in ("", old.get("kind"))
        )
        merged[key] = merge(old, value) if alike and isinstance(old, Mapping) else value
    return merged


def _config(values: Mapping[str, Any]) -> TransformerConfig | EncoderDecoderConfig:
    from fourfold.models import EncoderDecoderConfig, TransformerConfig  # torch is not needed to list the cards

    if "decoder_start_id" not in values:
        config: TransformerConfig = _build(TransformerConfig, values)
        return config
    shared = {key: value for key, value in values.items() if key != "decoder_start_id"}
    return EncoderDecoderConfig(
        encoder=_build(TransformerConfig, {**shared, "mask": "bidirectional", "head": "none"}),
        decoder=_build(TransformerConfig, {**shared, "cross_attention": True}),
        decoder_start_id=values["decoder_start_id"],
    )


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    """A frozen value of that class from a table; unknown keys are errors of the card."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := set(values) - set(known):
        raise ValueError(f"unknown keys {sorted(unknown)} for {kind.__name__}")
    lacking = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
    if lacking - set(values):
        raise ValueError(f"{kind.__name__} lacks {sorted(lacking - set(values))}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if value == "none" and type(None) in get_args(hint):
        return None
    if isinstance(value, list):
        return tuple(None if item == "all" else item for item in value)
    if not isinstance(value, Mapping):
        return value
    options = [option for option in _options(hint) if isinstance(option, type) and is_dataclass(option)]
    if len(options) == 1:
        return _build(options[0], value)
    (option,) = (option for option in options if option.__name__ == KINDS[value["kind"]])
    return _build(option, {key: item for key, item in value.items() if key != "kind"})


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
