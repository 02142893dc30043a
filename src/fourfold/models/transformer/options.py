"""The choices a transformer is made of (the survey's chapter 4.2), each a frozen value with its own options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["silu", "gelu", "gelu-tanh", "relu", "tanh"]
"""`gelu` is the exact one (Hendrycks & Gimpel 2016), `gelu-tanh` its approximation in GPT-2, BLOOM and Gemma."""

NormPlace = Literal["pre", "post", "sandwich", "output", "deep"]
Mask = Literal["causal", "prefix", "bidirectional"]
Residual = Literal["serial", "parallel", "parallel-one-norm"]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """RMSNorm (Zhang & Sennrich 2019) or LayerNorm (Ba et al. 2016), and where it stands around a sub-layer f.

    `pre`: x + f(norm x). `post`: norm(x + f x). `sandwich`: x + norm f(norm x) (CogView, Gemma 2).
    `output`: x + norm f(x) (OLMo 2). `deep`: norm(alpha x + f x) with alpha = (2 layers)^(1/4) (DeepNorm).
    """

    kind: Literal["rms", "layer"] = "rms"
    place: NormPlace = "pre"
    epsilon: float = 1e-5
    offset: float = 0.0
    """Added to the stored weight: 1 in Gemma's files."""
    bias: bool = True
    """LayerNorm only: whether it has a bias."""
    alpha: float | None = None
    """Factor of the stream in `deep`; None: (2 layers)^(1/4), or (3 layers)^(1/4) beside cross-attention."""
    final: bool | None = None
    """A norm after the last layer; None: wherever the residual stream itself is not normed."""


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Position interpolation: positions divided by `factor` (Chen et al. 2023)."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class NTKScaling:
    """A larger base, so that the slowest pair is stretched by `factor` and the fastest is kept (bloc97 2023)."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class DynamicNTKScaling:
    """NTK scaling by the length at hand once it passes `original_context` (emozilla 2023)."""

    factor: float
    original_context: int


@dataclass(frozen=True, kw_only=True)
class YaRNScaling:
    """Interpolation by frequency with a temperature on attention (Peng et al. 2023, section 3)."""

    factor: float
    original_context: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    """None: 0.1 ln(factor) + 1 (eq. 22)."""
    truncate: bool = True
    """Round the bounds of the ramp to whole pairs."""


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.1's: low frequencies divided by `factor`, high ones kept, a ramp between."""

    factor: float
    original_context: int
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0


RotaryScaling = LinearScaling | NTKScaling | DynamicNTKScaling | YaRNScaling | Llama3Scaling


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary position embedding (Su et al. 2021, section 3.4)."""

    base: float = 10_000.0
    share: float = 1.0
    """Share of each head that turns, from its start (0.25 in GPT-NeoX)."""
    interleaved: bool = False
    """Pairs are neighbours (GPT-J, GLM), not the two halves of the head."""
    scaling: RotaryScaling | None = None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One trained vector a position, added to the embedding (GPT-2)."""

    offset: int = 0
    """The table begins so many rows earlier (2 in OPT, BART and RoBERTa)."""


@dataclass(frozen=True, kw_only=True)
class Sinusoidal:
    """Fixed sines and cosines added to the embedding (Vaswani et al. 2017, section 3.5)."""


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A trained bias a head and bucket of distances, one table for all layers (Raffel et al. 2020, section 2.1)."""

    buckets: int = 32
    max_distance: int = 128


@dataclass(frozen=True, kw_only=True)
class ALiBi:
    """A fixed slope a head times the distance, subtracted from the scores (Press et al. 2022)."""

    scaled: bool = False
    """The bias shares the scale of the scores (Falcon-RW)."""


@dataclass(frozen=True, kw_only=True)
class NoPositions:
    """None: a causal mask alone tells the order (Haviv et al. 2022)."""


Positions = Rotary | Learned | Sinusoidal | Relative | ALiBi | NoPositions


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Multi-head attention; fewer `kv_heads` make it grouped-query (Ainslie et al. 2023), one multi-query."""

    heads: int
    kv_heads: int | None = None
    """None: as many as `heads`."""
    head_size: int | None = None
    """None: hidden size / heads."""
    bias: bool = False
    """Of query, key and value."""
    output_bias: bool | None = None
    """Of the output projection; None: like `bias`."""
    norm: Literal["head", "full"] | None = None
    """Norm of queries and keys: over each head (Qwen 3, Gemma 3) or over all heads together (OLMo 2)."""
    windows: tuple[int | None, ...] = (None,)
    """How many tokens back a layer sees, itself included; cycled over the layers: (4096, None) alternates."""
    softcap: float | None = None
    """Scores become softcap * tanh(score / softcap) (Gemma 2)."""
    scale: float | None = None
    """Factor of the scores; None: 1 / sqrt(head size)."""


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A router sends each token to its `active` best of `count` feed-forward experts (Shazeer et al. 2017)."""

    count: int
    active: int = 2
    renormalise: bool = True
    """The chosen experts' probabilities are scaled to a sum of one (Mixtral)."""
    shared_size: int = 0
    """Size of an expert that sees every token (DeepSeekMoE); 0: none."""
    balance_weight: float = 0.01
    """Of the load-balancing loss (Fedus et al. 2022, eq. 4) in training."""
    z_weight: float = 0.0
    """Of the router z-loss (Zoph et al. 2022, eq. 5) in training."""


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Two projections, or three when `gated`: SwiGLU is gated silu, GeGLU gated gelu, ReGLU gated relu
    (Shazeer 2020, section 2)."""

    size: int
    activation: Activation = "silu"
    gated: bool = True
    bias: bool = False
    experts: Experts | None = None


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What happens to token ids before the first layer."""

    size: int | None = None
    """Width of the table; None: the hidden size. Another width is projected to it (ELECTRA, OPT-350M)."""
    projection_bias: bool = False
    scale: float = 1.0
    """Factor of the token vectors (sqrt(hidden size) in Gemma and the original transformer)."""
    norm: bool = False
    """A norm after the sum of all embeddings (BERT, BART, BLOOM)."""
    segments: int = 0
    """Kinds of segment with a trained vector each (2 in BERT)."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """From hidden states to logits over the vocabulary."""

    tied: bool = True
    """The embedding is the projection."""
    bias: bool = False
    transform: Activation | None = None
    """A dense layer, this activation and a norm first (BERT)."""
    scale: float = 1.0
    """Factor of the hidden states before the projection (1/sqrt(hidden size) in tied T5)."""
    softcap: float | None = None
    """Logits become softcap * tanh(logit / softcap) (Gemma 2)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A classifier on the hidden states: of a sequence (from its first token, or the last of a causal model),
    of every token, or of the two ends of a span (`classes` = 2: start and end)."""

    kind: Literal["sequence", "token", "span"]
    classes: int
    transform: Activation | None = None
    """A dense layer and this activation first (tanh in RoBERTa, gelu in ELECTRA's detector)."""
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """How the weights start.

    `gpt2`: normal of `deviation`; projections that end a residual branch smaller by sqrt(2 layers) (Radford et
    al. 2019, section 2.3). `scaled`: deviation sqrt(2 / (5 hidden size)) with the same residual rule (Nguyen &
    Salazar 2019, "small init"). `mup`: deviation falls with the width relative to `base_hidden_size` (Yang et al.
    2022, table 8), which also scales attention, logits and learning rates. `deep`: Xavier with DeepNorm's beta
    (Wang et al. 2022, figure 2). `t5`: inputs ** -0.5, embeddings 1, and queries smaller by sqrt(head size), which
    stands in for the division of the scores that T5 leaves out (as its authors' code; Raffel et al. 2020).
    """

    kind: Literal["gpt2", "scaled", "mup", "deep", "t5"] = "gpt2"
    deviation: float = 0.02
    base_hidden_size: int = 256
    by_depth: bool = True
    """Whether the deeper of `gpt2`, `scaled` and `mup` start with smaller branches: the residual rule."""
