"""Checkpoint families of the ecosystem as values of our configuration and reversible name tables."""

from fourfold.models.families.known import FAMILIES, family_for, family_named
from fourfold.models.families.layout import from_file, fused_name, fused_parts, join, split, to_file
from fourfold.models.families.names import Names
from fourfold.models.families.table import Family, Fused

__all__ = [
    "FAMILIES",
    "Family",
    "Fused",
    "Names",
    "family_for",
    "family_named",
    "from_file",
    "fused_name",
    "fused_parts",
    "join",
    "split",
    "to_file",
]
