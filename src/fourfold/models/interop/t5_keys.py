"""What T5 and mT5 share: keys of `config.json` and names of modules.

`transformers` 5 writes that the head is tied whether it is or not: the names of the tensors tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from fourfold.models.interop.keys import read_activation
from fourfold.models.interop.normal import Config
from fourfold.models.interop.sequence_keys import stack_modules
from fourfold.models.transformer import (
    Attention,
    EncoderDecoderConfig,
    FeedForward,
    Head,
    Initialisation,
    Norm,
    Relative,
    TransformerConfig,
)

GATED = "gated-"


def read_t5(keys: Mapping[str, Any], *, scaled: bool) -> EncoderDecoderConfig:
    """`scaled`: whether the head divides by sqrt(hidden size)."""
    written = keys.get("feed_forward_proj", "relu")
    name = written.removeprefix(GATED)
    stack = {
        "vocabulary_size": keys["vocab_size"],
        "hidden_size": keys["d_model"],
        "context": keys.get("n_positions", 512),
        "attention": Attention(heads=keys["num_heads"], head_size=keys["d_kv"], scale=1.0),
        "feed_forward": FeedForward(
            size=keys["d_ff"],
            activation="gelu-tanh" if written == "gated-gelu" else read_activation(name),
            gated=written != name,
        ),
        "norm": Norm(kind="rms", epsilon=keys.get("layer_norm_epsilon", 1e-6)),
        "positions": Relative(
            buckets=keys.get("relative_attention_num_buckets", 32),
            max_distance=keys.get("relative_attention_max_distance", 128),
        ),
        "dropout": keys.get("dropout_rate", 0.1),
        "initialisation": Initialisation(kind="t5"),  # of a model trained from new weights
    }
    start = keys.get("decoder_start_token_id")
    head = Head(tied=keys.get("tie_word_embeddings", True), scale=keys["d_model"] ** -0.5 if scaled else 1.0)
    layers = keys["num_layers"]
    return EncoderDecoderConfig(
        encoder=TransformerConfig(layers=layers, mask="bidirectional", head=None, **stack),
        decoder=TransformerConfig(
            layers=keys.get("num_decoder_layers") or layers, cross_attention=True, head=head, **stack
        ),
        decoder_start_id=keys.get("pad_token_id", 0) if start is None else start,
        empty_source=(keys.get("eos_token_id", 1),),
    )


def write_t5(config: Config) -> dict[str, Any] | None:
    """The keys of T5 and mT5, without what they say of the head's scale."""
    if not isinstance(config, EncoderDecoderConfig):
        return None
    decoder = config.decoder
    forward, relative = decoder.feed_forward, decoder.positions
    if not isinstance(relative, Relative):
        return None
    name = {"gelu-tanh": "gelu" if forward.gated else "gelu_new"}.get(forward.activation, forward.activation)
    return {
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary_size,
        "d_model": config.hidden_size,
        "d_kv": decoder.head_size,
        "d_ff": forward.size,
        "num_layers": config.encoder.layers,
        "num_decoder_layers": decoder.layers,
        "num_heads": decoder.attention.heads,
        "n_positions": config.context,
        "relative_attention_num_buckets": relative.buckets,
        "relative_attention_max_distance": relative.max_distance,
        "feed_forward_proj": f"{GATED if forward.gated else ''}{name}",
        "layer_norm_epsilon": decoder.norm.epsilon,
        "dropout_rate": decoder.dropout,
        "tie_word_embeddings": config.tied_embeddings,
        "decoder_start_token_id": config.decoder_start_id,
        "pad_token_id": config.decoder_start_id,
        "eos_token_id": config.empty_source[0],
    }


def own_head(keys: Mapping[str, Any], names: AbstractSet[str]) -> Mapping[str, Any]:
    """A head in the file is the model's own, but for the first T5, whose head is always the embedding."""
    scaled = keys.get("scale_decoder_outputs", keys.get("model_type") == "t5" and keys.get("tie_word_embeddings", True))
    return keys if scaled else {**keys, "tie_word_embeddings": "lm_head.weight" not in names}


def t5_modules(config: Config) -> dict[str, str]:
    """Sub-layers are numbered; a gated feed-forward has other names than a plain one."""
    assert isinstance(config, EncoderDecoderConfig)
    gated = config.decoder.feed_forward.gated
    dense = {"feed_forward.gate": "wi_0", "feed_forward.up": "wi_1"} if gated else {"feed_forward.up": "wi"}
    parts = {"query": "q", "key": "k", "value": "v", "output": "o"}
    modules = {"encoder.embedding": "shared", "head.projection": "lm_head"}
    for side, last in (("encoder", 1), ("decoder", 2)):
        inside = {
            **{f"attention.{ours}": f"layer.0.SelfAttention.{theirs}" for ours, theirs in parts.items()},
            "norm_attention": "layer.0.layer_norm",
            **{f"cross.{ours}": f"layer.1.EncDecAttention.{theirs}" for ours, theirs in parts.items()},
            "norm_cross": "layer.1.layer_norm",
            **{ours: f"layer.{last}.DenseReluDense.{theirs}" for ours, theirs in dense.items()},
            "feed_forward.down": f"layer.{last}.DenseReluDense.wo",
            "norm_feed_forward": f"layer.{last}.layer_norm",
        }
        modules |= stack_modules(side, side + ".block.{i}.", inside)
        modules[f"{side}.positions"] = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"
        modules[f"{side}.norm"] = f"{side}.final_layer_norm"
    return modules


RENAMED = {r"^encoder\.embed_tokens\.weight$": "shared.weight"}
IGNORED = (r"^decoder\.embed_tokens\.weight$", r"EncDecAttention\.relative_attention_bias\.weight$")
