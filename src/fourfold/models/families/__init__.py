"""Checkpoint families of the ecosystem as values of our configuration and reversible name tables."""

from fourfold.models.families.known import FAMILIES, family_for, family_named
from fourfold.models.families.table import Family, Names

__all__ = ["FAMILIES", "Family", "Names", "family_for", "family_named"]
