"""What a configuration wants of its files against what is there, by name and shape; no weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.models.families import FAMILIES, family_for
from fourfold.models.files.adapter_layers import Layout, layout
from fourfold.models.files.family_config import read_family_config
from fourfold.models.files.folder import make_empty, own_names, own_tensors
from fourfold.models.files.gguf_model import GGUFModel
from fourfold.models.files.own import OWN_KINDS, OwnConfig, read_own
from fourfold.models.interop import Family, from_file, fused_name
from fourfold.models.registry import Recurrent

Shape = tuple[int, ...]


class Described(NamedTuple):
    """A model without its numbers."""

    config: OwnConfig
    wanted: dict[str, Shape]
    """By our names."""
    found: dict[str, Shape]
    """By our names; a tensor nobody knows keeps its own."""
    family: Family | None = None

    def layers(self) -> Layout:
        """Its linear layers, by the names that adapters use."""
        return layout(make_empty(self.config))

    def in_file(self, ours: str) -> str:
        """What the file calls one of our tensors, or the tensor that it is part of."""
        if self.family is None or isinstance(self.config, Recurrent):
            return ours
        whole = next(filter(None, (fused_name(fused, ours) for fused in self.family.fused)), None)
        return whole or self.family.names(self.config).theirs(ours) or ours

    def parameter(self, layer: str) -> str | None:
        """Our weight of a layer that a folder or an adapter names; None where there is none of its own."""
        if self.family is None or isinstance(self.config, Recurrent):
            return f"{layer}.weight"
        base = self.family.base
        spellings = (layer, f"{base}.{layer}", layer.removeprefix(f"{base}."))
        found = next(filter(None, map(self.family.names(self.config).ours, spellings)), None)
        return None if found is None else f"{found}.weight"


def describe_folder(keys: Mapping[str, Any], where: Path, shapes: Mapping[str, Shape]) -> Described:
    """The architecture in the keys of `config.json`, beside tensors of these shapes.

    UserError when the architecture is not one of ours, or its keys make no sense.
    """
    kind = keys.get("model_type")
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    if kind in OWN_KINDS:
        own = read_own(keys, where.parent)
        module = make_empty(own, len(shapes))
        return Described(own, _shapes(own_tensors(module)), _shapes(own_names(module, empty)))
    if kind not in FAMILIES:
        raise UserError("the architecture is not one that is known here", where=where, got=repr(kind)[:60])
    family = FAMILIES[str(kind)]
    config = read_family_config(family, keys, where, shapes.keys())
    wanted = own_tensors(make_empty(config, len(shapes)))
    return Described(config, _shapes(wanted), _shapes(from_file(family, config, empty, wanted)), family)


def describe_gguf(model: GGUFModel) -> Described:
    """The architecture of a GGUF file and its tensors by our names."""
    module = make_empty(model.config)
    family = family_for(model.config)
    return Described(model.config, _shapes(own_tensors(module)), model.weights.shapes, family)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
