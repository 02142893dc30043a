"""Our configuration in the metadata of a GGUF file, both ways, for the architectures of `gguf_tables`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.models.interop.gguf_rope import read_rope, rope_factors, turning, write_rope
from fourfold.models.interop.gguf_section import Section
from fourfold.models.interop.gguf_tables import Architecture
from fourfold.models.interop.normal import normal, shortest_cycle, unless
from fourfold.models.transformer import Attention, Embedding, Head, Learned, Rotary, TransformerConfig

EPSILON = {"rms": "attention.layer_norm_rms_epsilon", "layer": "attention.layer_norm_epsilon"}


def read_config(
    architecture: Architecture, keys: Section, shapes: Mapping[str, tuple[int, ...]], factors: Tensor | None = None
) -> TransformerConfig:
    """The configuration a file states; `shapes` are its tensors', by whose presence biases and the head are
    known, `factors` is the tensor of rotary factors."""
    if "token_embd.weight" not in shapes:
        raise UserError("no embedding in the file: is it a model?", where=keys.where, expected="token_embd.weight")
    if keys.find("expert_count", int):
        raise UserError("experts in GGUF files are not supported", where=keys.where, advice="Use a folder instead.")
    heads, width, layers = (keys.need(key, int) for key in ("attention.head_count", "embedding_length", "block_count"))
    if not 0 < layers <= len(shapes):
        raise UserError("the header claims more layers than there are tensors", where=keys.where, got=layers)
    if heads < 1:
        raise UserError("model option heads is out of range", where=keys.where, expected="at least 1", got=heads)
    head_size = keys.find("attention.key_length", int) or width // heads
    rotary = None if architecture.positions == "learned" else read_rope(keys, factors, head_size)
    config = TransformerConfig(
        vocabulary_size=shapes["token_embd.weight"][0],
        hidden_size=width,
        layers=layers,
        context=keys.need("context_length", int),
        attention=_attention(architecture, keys, shapes, head_size),
        feed_forward=replace(
            architecture.feed_forward,
            size=keys.need("feed_forward_length", int),
            bias="blk.0.ffn_up.bias" in shapes,
        ),
        norm=replace(architecture.norm, epsilon=keys.need(EPSILON[architecture.norm.kind], float)),
        positions=rotary or Learned(),
        embedding=Embedding(scale=width**0.5 if architecture.embedding_scaled else 1.0),
        head=Head(
            tied="output.weight" not in shapes,
            bias="output.bias" in shapes,
            softcap=keys.find("final_logit_softcapping", float) if architecture.softcaps else None,
        ),
        residual=architecture.residual,
    )
    return _with_local_positions(architecture, keys, config)


def _attention(architecture: Architecture, keys: Section, shapes: Collection[str], head_size: int) -> Attention:
    if keys.find("attention.value_length", int) not in (None, head_size):
        raise UserError("keys and values of different sizes are not supported", where=keys.where)
    heads, width, layers = (keys.need(key, int) for key in ("attention.head_count", "embedding_length", "block_count"))
    bias = "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes
    return Attention(
        heads=heads,
        kv_heads=unless(keys.find("attention.head_count_kv", int), heads),
        head_size=unless(head_size, width // heads),
        bias=bias,
        output_bias=None if ("blk.0.attn_output.bias" in shapes) == bias else not bias,
        norm="head" if architecture.query_key_norm else None,
        windows=_windows(architecture, keys, layers),
        softcap=keys.find("attn_logit_softcapping", float) if architecture.softcaps else None,
        scale=(width / heads) ** -0.5 if layers == architecture.wide_layers else None,
    )


def _windows(architecture: Architecture, keys: Section, layers: int) -> tuple[int | None, ...]:
    window = keys.find("attention.sliding_window", int)
    every = architecture.global_every
    if every is None or not window:
        return (None,)
    return shortest_cycle([None if (layer + 1) % every == 0 else window for layer in range(layers)])


def _with_local_positions(architecture: Architecture, keys: Section, config: TransformerConfig) -> TransformerConfig:
    if architecture.local_base is None or not any(config.attention.windows):
        return config
    base = keys.find("rope.freq_base_swa", float) or architecture.local_base
    return replace(config, local_positions=Rotary(base=base))


def write_config(
    architecture: Architecture, config: TransformerConfig, names: Collection[str]
) -> dict[str, Any] | None:
    """The metadata of a configuration; None unless it reads back as this very architecture.

    `names`: of the tensors that will be written.
    """
    attention, head, local = config.attention, config.head, config.local_positions
    rope = write_rope(config)
    if rope is None or head is None or config.norm.kind != architecture.norm.kind:
        return None
    if architecture.biases not in (None, (attention.bias, config.output_bias, config.feed_forward.bias)):
        return None
    section: dict[str, Any] = {
        "vocab_size": config.vocabulary_size,
        "context_length": config.context,
        "embedding_length": config.hidden_size,
        "block_count": config.layers,
        "feed_forward_length": config.feed_forward.size,
        "attention.head_count": attention.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_size,
        "attention.value_length": config.head_size,
        EPSILON[config.norm.kind]: float(config.norm.epsilon),
        **rope,
    }
    said = {
        "attention.sliding_window": next(filter(None, attention.windows), None),
        "rope.freq_base_swa": float(local.base) if isinstance(local, Rotary) else None,
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": head.softcap,
    }
    section |= {key: value for key, value in said.items() if value is not None}
    named = {f"{architecture.name}.{key}": value for key, value in section.items()}
    shapes = dict.fromkeys(names, (config.vocabulary_size,))
    again = read_config(architecture, Section(architecture.name, named), shapes, rope_factors(config))
    return named if same_architecture(again, config) else None


def same_architecture(one: TransformerConfig, other: TransformerConfig) -> bool:
    """Whether two configurations compute the same, rotary positions however spelt."""
    if _without_positions(one) != _without_positions(other):
        return False
    ours, theirs = one.positions, other.positions
    if not isinstance(ours, Rotary) or not isinstance(theirs, Rotary):
        return ours == theirs
    if one.rotary_size != other.rotary_size or ours.interleaved != theirs.interleaved:
        return False
    (angles, factor), (others, other_factor) = (turning(rotary, one.rotary_size) for rotary in (ours, theirs))
    return torch.allclose(angles, others, rtol=1e-5) and math.isclose(factor, other_factor, rel_tol=1e-6)


def _without_positions(config: TransformerConfig) -> object:
    config = normal(config)  # type: ignore[assignment]  # one stack stays one
    scale = config.attention.scale
    if scale is not None and math.isclose(scale, config.head_size**-0.5, rel_tol=1e-6):
        config = replace(config, attention=replace(config.attention, scale=None))
    return replace(config, positions=Learned())
