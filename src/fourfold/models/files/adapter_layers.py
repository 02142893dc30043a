"""The layers of a model as adapter files name them, and the factors of one adapter between both.

A layer of a file may be several of ours (GPT-2's `c_attn` is query, key and value). Its one A is then the A of
each; back, the A of each stand one above the other, and each B keeps to its own columns: no approximation.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fourfold.models.families import family_for
from fourfold.models.interop import Config, Family, fused_name, fused_parts, groups_of, headless, join, split
from fourfold.models.linear import Linear, LowRankDelta
from fourfold.models.transformer import EncoderDecoder, TransformerLM


class Factors(NamedTuple):
    """One adapter of one layer: `scale * B A`."""

    down: Tensor
    up: Tensor
    scale: float


class Place(NamedTuple):
    """A layer of the file: one of ours, or several whose rows alternate `groups` times in it."""

    layers: tuple[Linear, ...]
    groups: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of its weight: (out, in)."""
        return sum(layer.out_size for layer in self.layers), self.layers[0].in_size


class Layout(NamedTuple):
    """The places of a model by their names in files."""

    places: dict[str, Place]
    base: str
    """Prefix that names may have or lack."""
    transposed: bool
    """The family stores some weights as (in, out)."""

    def find(self, name: str) -> Place | None:
        spellings = (name, f"{self.base}.{name}", name.removeprefix(f"{self.base}."))
        return next((self.places[spelling] for spelling in spellings if spelling in self.places), None)


def layout(module: nn.Module) -> Layout:
    """The linear layers of a model under the family's names; a model no family expresses keeps its own."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Linear)}
    family = family_for(module.config) if isinstance(module, TransformerLM | EncoderDecoder) else None
    if family is None or not isinstance(module, TransformerLM | EncoderDecoder):
        return Layout({name: Place((layer,), 1) for name, layer in layers.items()}, "", False)
    places = _places(family, module.config, layers)
    if headless(module.config):
        places = {name.removeprefix(f"{family.base}."): place for name, place in places.items()}
    return Layout(places, family.base, bool(family.transposed))


def _places(family: Family, config: Config, layers: dict[str, Linear]) -> dict[str, Place]:
    names, places = family.names(config), {}
    for name, layer in layers.items():
        whole = next(((f, found) for f in family.fused if (found := fused_name(f, name)) is not None), None)
        if whole is None:
            places[names.theirs(name) or name] = Place((layer,), 1)
        elif whole[1] not in places:
            parts = fused_parts(whole[0], whole[1]) or ()
            places[whole[1]] = Place(tuple(layers[part] for part in parts), groups_of(whole[0], config))
    return places


def gathered(place: Place) -> Factors | None:
    """All deltas of a place as one adapter; None when it carries none."""
    parts = [_joined(layer) for layer in place.layers]
    if len(parts) == 1 or not any(parts):
        return parts[0]
    first = next(part for part in parts if part is not None)
    alike = all(part and part.scale == first.scale and torch.equal(part.down, first.down) for part in parts)
    if alike:
        return Factors(first.down, join([part.up for part in parts if part], place.groups), first.scale)
    total = sum(len(part.down) for part in parts if part)
    ups, column = [], 0
    for layer, part in zip(place.layers, parts, strict=True):
        up = first.up.new_zeros(layer.out_size, total)
        if part is not None:
            up[:, column : column + len(part.down)] = part.up * part.scale
            column += len(part.down)
        ups.append(up)
    return Factors(torch.cat([part.down for part in parts if part]), join(ups, place.groups), 1.0)


def attach(place: Place, factors: Factors, dropout: float, training: bool) -> None:
    """Append one adapter to the deltas of the layers it acts on."""
    sizes = [layer.out_size for layer in place.layers]
    for layer, up in zip(place.layers, split(factors.up, sizes, place.groups), strict=True):
        delta = LowRankDelta(layer.in_size, layer.out_size, len(factors.down), factors.scale, dropout)
        delta.down = nn.Parameter(factors.down.float().clone())
        delta.up = nn.Parameter(up.float().clone())
        layer.deltas.append(delta.to(layer.device).train(training))


def _joined(layer: Linear) -> Factors | None:
    """Several deltas as one of their ranks together, the scales multiplied in."""
    deltas = [delta for delta in layer.deltas if isinstance(delta, LowRankDelta)]
    if len(deltas) < 2:
        return Factors(deltas[0].down.detach(), deltas[0].up.detach(), deltas[0].scale) if deltas else None
    down = torch.cat([delta.down.detach() for delta in deltas])
    return Factors(down, torch.cat([delta.up.detach() * delta.scale for delta in deltas], dim=1), 1.0)
