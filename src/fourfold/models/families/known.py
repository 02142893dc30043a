"""The families we know, found by name or by architecture."""

from __future__ import annotations

from fourfold.errors import unknown_name
from fourfold.models.families.llama import LLAMA
from fourfold.models.families.normal import Config
from fourfold.models.families.table import Family

FAMILIES = {family.name: family for family in (LLAMA,)}


def family_named(name: str, where: object = None) -> Family:
    """The family of a `model_type` or GGUF architecture; UserError naming the nearest."""
    if name not in FAMILIES:
        raise unknown_name("model architecture", name, FAMILIES, where)
    return FAMILIES[name]


def family_for(config: Config) -> Family | None:
    """The first family that can express the architecture, or None."""
    return next((family for family in FAMILIES.values() if family.express(config) is not None), None)
