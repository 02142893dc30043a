"""The architectures of llama.cpp as values: names in GGUF files, and what their code takes for granted.

A GGUF file names an architecture and gives sizes; activation, places of norms and the like are llama.cpp's code
for that name. That knowledge is this table. Files hold rows of linear layers as we do, (out, in).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fourfold.models.interop.names import Names
from fourfold.models.interop.parts import LAYER
from fourfold.models.interop.table import Fused
from fourfold.models.transformer import FeedForward, Norm, Residual

_ENDS = {"stack.embedding": "token_embd", "stack.norm": "output_norm", "head.projection": "output"}
_HEAD_BIAS = {"head.bias": "output.bias"}
_ATTENTION = {
    LAYER + "norm_attention": "blk.{i}.attn_norm",
    LAYER + "attention.query": "blk.{i}.attn_q",
    LAYER + "attention.key": "blk.{i}.attn_k",
    LAYER + "attention.value": "blk.{i}.attn_v",
    LAYER + "attention.output": "blk.{i}.attn_output",
}
_QUERY_KEY_NORMS = {
    LAYER + "attention.norm_query": "blk.{i}.attn_q_norm",
    LAYER + "attention.norm_key": "blk.{i}.attn_k_norm",
}
_UP_AND_DOWN = {LAYER + "feed_forward.up": "blk.{i}.ffn_up", LAYER + "feed_forward.down": "blk.{i}.ffn_down"}
_FEED_FORWARD = {LAYER + "norm_feed_forward": "blk.{i}.ffn_norm", **_UP_AND_DOWN}
_GATED = {**_FEED_FORWARD, LAYER + "feed_forward.gate": "blk.{i}.ffn_gate"}
_SANDWICH = {
    LAYER + "norm_attention_output": "blk.{i}.post_attention_norm",
    LAYER + "norm_feed_forward_output": "blk.{i}.post_ffw_norm",
}
_LLAMA = {**_ENDS, **_ATTENTION, **_GATED}
_QUERY_KEY_VALUE = Fused(
    name="blk.{i}.attn_qkv", parts=tuple(f"{LAYER}attention.{part}" for part in ("query", "key", "value"))
)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One `general.architecture`."""

    name: str
    modules: Mapping[str, str]
    """Our module (or one parameter in full) to the file's, the layer number as {i}."""
    fused: tuple[Fused, ...] = ()
    """Tensors that may stand for several of ours; written so when `writes_fused`."""
    writes_fused: bool = False
    interleaved: tuple[str, ...] = ()
    """Ends of our module names whose rows are stored with the two halves of each rotary pair side by side."""
    norm: Norm = field(default_factory=Norm)
    feed_forward: FeedForward = field(default_factory=lambda: FeedForward(size=1))
    """Its size comes from the file."""
    residual: Residual = "serial"
    positions: Literal["rotary", "learned"] = "rotary"
    query_key_norm: bool = False
    embedding_scaled: bool = False
    """Token vectors are multiplied by sqrt(hidden size)."""
    biases: tuple[bool, bool, bool] | None = (False, False, False)
    """Whether query, key and value, the attention's output and the feed-forward have biases; None: as the file has."""
    global_every: int | None = None
    """Every so-manieth layer sees everything, the others a window."""
    local_base: float | None = None
    """Base of the rotary positions in layers with a window, unless the file gives another."""
    wide_layers: int | None = None
    """A model of just so many layers scales attention by 1/sqrt(hidden size / heads), says llama.cpp."""
    softcaps: bool = False

    @cached_property
    def names(self) -> Names:
        return Names(self.modules)

    def offset(self, name: str) -> float:
        """What the file's values of our parameter have been raised by: the offset of a norm is in its weight."""
        is_norm = name.rpartition(".")[0].rpartition(".")[2].startswith("norm")
        return self.norm.offset if is_norm else 0.0


_GEMMA_NORM = Norm(epsilon=1e-6, offset=1.0)
_SANDWICH_NORM = Norm(epsilon=1e-6, offset=1.0, place="sandwich")
_GEGLU = FeedForward(size=1, activation="gelu-tanh")
_PLAIN_GELU = FeedForward(size=1, activation="gelu-tanh", gated=False, bias=True)

ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(name="qwen2", modules=_LLAMA, biases=(True, False, False)),
        Architecture(name="llama", modules=_LLAMA, interleaved=("attention.query", "attention.key"), biases=None),
        Architecture(name="qwen3", modules={**_LLAMA, **_QUERY_KEY_NORMS}, query_key_norm=True),
        Architecture(
            name="gemma",
            modules=_LLAMA,
            norm=_GEMMA_NORM,
            feed_forward=_GEGLU,
            embedding_scaled=True,
        ),
        Architecture(
            name="gemma2",
            modules={**_LLAMA, **_SANDWICH},
            norm=_SANDWICH_NORM,
            feed_forward=_GEGLU,
            embedding_scaled=True,
            global_every=2,
            wide_layers=46,
            softcaps=True,
        ),
        Architecture(
            name="gemma3",
            modules={**_LLAMA, **_SANDWICH, **_QUERY_KEY_NORMS},
            norm=_SANDWICH_NORM,
            feed_forward=_GEGLU,
            query_key_norm=True,
            embedding_scaled=True,
            global_every=6,
            local_base=10_000.0,
            wide_layers=62,
        ),
        Architecture(
            name="gpt2",
            modules={**_ENDS, **_ATTENTION, **_FEED_FORWARD, "stack.positions": "position_embd"},
            fused=(_QUERY_KEY_VALUE,),
            writes_fused=True,
            norm=Norm(kind="layer"),
            feed_forward=_PLAIN_GELU,
            biases=(True, True, True),
            positions="learned",
        ),
        Architecture(
            name="phi2",
            modules={**_ENDS, **_HEAD_BIAS, **_ATTENTION, **_UP_AND_DOWN},
            fused=(_QUERY_KEY_VALUE,),
            norm=Norm(kind="layer"),
            feed_forward=_PLAIN_GELU,
            biases=(True, True, True),
            residual="parallel-one-norm",
        ),
    )
}
"""In the order in which an architecture is looked for."""
