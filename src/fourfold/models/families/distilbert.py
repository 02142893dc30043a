"""DistilBERT (Sanh et al. 2019): BERT with half the layers, without segments and pooler, taught by BERT."""

from __future__ import annotations

from fourfold.models.interop import Family
from fourfold.models.interop import encoder_keys as encoder

OWN_KEYS = {
    "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim", "hidden_act": "activation", "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}  # fmt: skip
"""What BERT calls it, and what DistilBERT does."""
CLASSES = encoder.Classes(
    prefix="DistilBert",
    segments=False,
    own_keys=OWN_KEYS,
    fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
    tops={
        "Model": encoder.Top(),
        "ForMaskedLM": encoder.Top(head=True),
        "ForSequenceClassification": encoder.classifier("relu", dense="pre_classifier", projection="classifier"),
        **encoder.TOKENS,
    },
)
INSIDE = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "norm_attention": "sa_layer_norm",
    "feed_forward.up": "ffn.lin1",
    "feed_forward.down": "ffn.lin2",
    "norm_feed_forward": "output_layer_norm",
}
DISTILBERT = Family(
    name="distilbert",
    architectures=CLASSES.architecture,
    read_config=CLASSES.read_config,
    write_config=CLASSES.write_config,
    modules={
        **encoder.modules("distilbert", "transformer", INSIDE),
        "head.dense": "vocab_transform",
        "head.norm": "vocab_layer_norm",
        "head.projection": "vocab_projector",
        "head.bias": "vocab_projector.bias",
    },
    modules_by_config=CLASSES.names,
    base="distilbert",
    spare=encoder.SPARE,
)
