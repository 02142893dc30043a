"""How weights start, by `Initialisation`; norms are 1, biases 0 under every scheme."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.options import Head, Initialisation

BRANCH_ENDS = ("attention.output.weight", "cross.output.weight", "down.weight")
"""Projections whose result is added to the residual stream."""
DEEP_GAIN = ("value.weight", "output.weight", "up.weight", "down.weight", "gate.weight")
"""What DeepNorm scales by beta: not queries and keys."""
TABLES = ("embedding.weight", "segments.weight", "positions.weight")


def initialise(module: nn.Module, config: TransformerConfig, generator: torch.Generator) -> None:
    """Set every matrix of `module` (a stack, or a language model) by the scheme of `config`."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, deviation(name, parameter.shape, config), generator=generator)


def deviation(name: str, shape: torch.Size, config: TransformerConfig) -> float:
    """Standard deviation of the matrix called `name`."""
    chosen = config.initialisation
    plain = chosen.deviation
    if name.endswith("embedding.weight") and chosen.kind != "mup" and config.head is not None and config.head.tied:
        plain /= config.head.scale  # a tied head that scales down would otherwise start with logits of nothing (T5)
    is_table = name.endswith(TABLES)
    match chosen.kind:
        case "t5":
            return _t5(name, shape, config)
        case "scaled":
            plain *= math.sqrt(2 / (5 * config.hidden_size)) / chosen.deviation
        case "mup" if not is_table:
            plain = chosen.deviation * math.sqrt(chosen.base_hidden_size / config.hidden_size)
        case "deep" if not is_table:
            beta = (12 * config.layers if config.cross_attention else 8 * config.layers) ** -0.25
            return math.sqrt(2 / (shape[0] + shape[1])) * (beta if name.endswith(DEEP_GAIN) else 1.0)
        case _:
            pass
    branch_end = chosen.by_depth and name.endswith(BRANCH_ENDS)
    return plain / math.sqrt(2 * config.layers) if branch_end else plain


def _t5(name: str, shape: torch.Size, config: TransformerConfig) -> float:
    """T5's own start: what enters a projection at size 1 leaves it at size 1, and so do the scores.

    Departure: a head of its own starts like the other projections, not at 1, which would begin far above the loss of
    guessing.
    """
    if name.endswith("embedding.weight"):
        return 1.0
    if name.endswith("positions.weight"):  # (buckets, heads)
        return 1 / math.sqrt(config.hidden_size)
    return 1 / math.sqrt(shape[1] * (config.head_size if name.endswith("query.weight") else 1))


def mup(config: TransformerConfig, base_hidden_size: int = 256) -> TransformerConfig:
    """The configuration under maximal update parametrisation (Yang et al. 2022, table 8).

    Weights start smaller and matrices learn slower (`learning_rate_scale`) by the width relative to
    `base_hidden_size`, scores are divided by the head size instead of its root (equal at a head size of 64),
    hidden states by the relative width before the projection to logits.
    """
    relative = config.hidden_size / base_hidden_size
    head = config.head or Head()
    return replace(
        config,
        attention=replace(config.attention, scale=8 / config.head_size),
        head=replace(head, scale=head.scale / relative),
        initialisation=replace(config.initialisation, kind="mup", base_hidden_size=base_hidden_size),
    )


def learning_rate_scale(name: str, parameter: torch.Tensor, scheme: Initialisation, hidden_size: int) -> float:
    """Factor of the learning rate of a parameter: base width / width for the hidden matrices under muP, else 1."""
    hidden = parameter.dim() > 1 and not name.endswith((*TABLES, "head.projection.weight"))
    return scheme.base_hidden_size / hidden_size if scheme.kind == "mup" and hidden else 1.0
