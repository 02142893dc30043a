"""Falcon (Almazrouei et al. 2023; Penedo et al. 2023): three shapes under one name.

7B: one key-value head, parallel branches after one norm. 40B and 180B: grouped heads, two norms. RW: ALiBi,
as many key-value heads, serial; transformers rounds its slopes times positions to bfloat16, we do not.
"""

from __future__ import annotations

from fourfold.models.interop import Config, Family, Fused, class_name, falcon_keys, parts
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import TransformerConfig

IN_LAYERS = "transformer.h.{i}."
TWO_NORMS = {"norm_attention": "ln_attn", "norm_feed_forward": "ln_mlp"}
MODULES = {
    "stack.embedding": "transformer.word_embeddings",
    **decoder.in_layers(IN_LAYERS, {**parts.MEGATRON_LAYER, "feed_forward.up": "mlp.dense_h_to_4h"}),
    "stack.norm": "transformer.ln_f",
    **parts.ENDS,
}


def _norms(config: Config) -> dict[str, str]:
    """Two norms of parallel branches have names of their own."""
    two = isinstance(config, TransformerConfig) and config.residual == "parallel"
    return decoder.in_layers(IN_LAYERS, TWO_NORMS) if two else {}


FALCON = Family(
    name="falcon",
    architectures=class_name("Falcon"),
    read_config=falcon_keys.read_falcon,
    write_config=decoder.writer(falcon_keys.write_falcon),
    modules=MODULES,
    modules_by_config=_norms,
    fused=(Fused(name=IN_LAYERS + "self_attention.query_key_value", parts=decoder.ATTENTION, layout="grouped"),),
    base="transformer",
    ignored=(r"\.inv_freq$",),
)
