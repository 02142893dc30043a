"""Checkpoints of the ecosystem: names, layouts and keys that the tables in `families` are made of, and GGUF's."""

from fourfold.models.interop.gguf_keys import read_config as read_gguf_config
from fourfold.models.interop.gguf_keys import write_config as write_gguf_config
from fourfold.models.interop.gguf_rope import FACTORS as ROPE_FACTORS
from fourfold.models.interop.gguf_rope import rope_factors
from fourfold.models.interop.gguf_section import Section
from fourfold.models.interop.gguf_tables import ARCHITECTURES as GGUF_ARCHITECTURES
from fourfold.models.interop.gguf_tables import Architecture
from fourfold.models.interop.keys import (
    FULL,
    SLIDING,
    class_name,
    expect,
    read_activation,
    read_ends,
    read_windows,
    write_activation,
    write_windows,
)
from fourfold.models.interop.layout import (
    from_file,
    fused_name,
    fused_parts,
    groups_of,
    headless,
    join,
    name_in_file,
    split,
    to_file,
)
from fourfold.models.interop.names import Names
from fourfold.models.interop.normal import Config, normal, unless
from fourfold.models.interop.rope import read_rotary
from fourfold.models.interop.sentence import Pooling, encoder_folder, pool, read_pooling, write_pooling
from fourfold.models.interop.table import Family, Fused

__all__ = [
    "FULL",
    "GGUF_ARCHITECTURES",
    "ROPE_FACTORS",
    "SLIDING",
    "Architecture",
    "Config",
    "Family",
    "Fused",
    "Names",
    "Pooling",
    "Section",
    "class_name",
    "encoder_folder",
    "expect",
    "from_file",
    "fused_name",
    "fused_parts",
    "groups_of",
    "headless",
    "join",
    "name_in_file",
    "normal",
    "pool",
    "read_activation",
    "read_ends",
    "read_gguf_config",
    "read_pooling",
    "read_rotary",
    "read_windows",
    "rope_factors",
    "split",
    "to_file",
    "unless",
    "write_activation",
    "write_gguf_config",
    "write_pooling",
    "write_windows",
]
