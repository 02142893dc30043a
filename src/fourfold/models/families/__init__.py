"""Checkpoint families of the ecosystem as values of our configuration and reversible name tables."""

from fourfold.models.families.gguf_keys import read_config as read_gguf_config
from fourfold.models.families.gguf_keys import same_architecture
from fourfold.models.families.gguf_keys import write_config as write_gguf_config
from fourfold.models.families.gguf_rope import FACTORS as ROPE_FACTORS
from fourfold.models.families.gguf_rope import rope_factors
from fourfold.models.families.gguf_section import Section
from fourfold.models.families.gguf_tables import ARCHITECTURES as GGUF_ARCHITECTURES
from fourfold.models.families.gguf_tables import Architecture
from fourfold.models.families.known import FAMILIES, family_for, family_named
from fourfold.models.families.layout import (
    from_file,
    fused_name,
    fused_parts,
    groups_of,
    headless,
    join,
    split,
    to_file,
)
from fourfold.models.families.names import Names
from fourfold.models.families.sentence import Pooling, encoder_folder, pool, read_pooling, write_pooling
from fourfold.models.families.table import Family, Fused

__all__ = [
    "FAMILIES",
    "GGUF_ARCHITECTURES",
    "ROPE_FACTORS",
    "Architecture",
    "Family",
    "Fused",
    "Names",
    "Pooling",
    "Section",
    "encoder_folder",
    "family_for",
    "family_named",
    "from_file",
    "fused_name",
    "fused_parts",
    "groups_of",
    "headless",
    "join",
    "pool",
    "read_gguf_config",
    "read_pooling",
    "rope_factors",
    "same_architecture",
    "split",
    "to_file",
    "write_gguf_config",
    "write_pooling",
]
