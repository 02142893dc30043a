"""Families of checkpoints: each a reversible table of names, and its configuration as values of ours."""

from fourfold.models.families.known import FAMILIES, family_for, family_named

__all__ = ["FAMILIES", "family_for", "family_named"]
