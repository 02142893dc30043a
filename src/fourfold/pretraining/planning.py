"""What a training or scoring job takes before it is started: parameters, FLOPs, memory.

Everything is a function of a *configuration*; nothing is allocated. `speed` times a slice.

Letters: D hidden size, I heads x head size, F feed-forward size, H heads, T tokens of a row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fourfold.errors import UserError
from fourfold.models import Config, RecurrentConfig, TransformerConfig
from fourfold.models.inspection import count, forward_flops, kv_bytes, stacks
from fourfold.models.transformer import Rotary
from fourfold.training import Precision, rows_at_once

Purpose = Literal["train", "tune", "score"]
"""Train every weight; train low-rank deltas of a frozen model; read text only."""

PROCESS_BYTES = 450_000_000
"""Resident size of Python with torch loaded, measured on Linux."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A piece of work on one model."""

    config: Config
    tokens: float
    """Tokens that go through the model in all; of an encoder-decoder those of source and target together."""
    batch_size: int = 8
    context: int | None = None
    """Tokens of a row, or of each side of an encoder-decoder's row; None: the model's own context."""
    purpose: Purpose = "train"
    delta_rank: int = 8
    """Rank of the low-rank deltas of `tune`."""
    recompute: bool = False
    """Keep only each layer's input and compute the rest again for the backward pass (Chen et al. 2016)."""

    def __post_init__(self) -> None:
        if self.tokens <= 0 or self.batch_size < 1 or self.row < 1:
            raise UserError(
                "a plan needs tokens, batch size and context of at least 1",
                got=f"{self.tokens:g}, {self.batch_size} and {self.row}",
            )

    @property
    def row(self) -> int:
        return self.config.context if self.context is None else self.context


def flops_per_token(job: Job) -> float:
    """Floating-point operations a token costs.

    Backward costs twice what forward does. With frozen weights their own gradients, 2 a weight, are not computed;
    the deltas are small and left out. Recomputing adds a forward pass. Of experts the chosen ones count.
    """
    forward = forward_flops(job.config, job.row)
    if job.purpose == "score":
        return forward
    again = forward if job.recompute else 0.0
    frozen = 0.0
    if job.purpose == "tune":
        sides = 1 if isinstance(job.config, RecurrentConfig) else len(stacks(job.config))
        frozen = 2.0 * count(job.config).in_products / sides
    return 3 * forward + again - frozen


def flops(job: Job) -> float:
    """Floating-point operations of the whole job."""
    return flops_per_token(job) * job.tokens


def memory(job: Job, precision: Precision) -> dict[str, int]:
    """Bytes by part, at the peak of a step of our own training loop."""
    counts, config = count(job.config), job.config
    cast = precision.autocast is not None
    tokens = job.batch_size * job.row
    trained = {"train": counts.total, "tune": _delta_parameters(config, job.delta_rank), "score": 0}[job.purpose]
    stored = 4 if job.purpose == "train" or not cast else 2  # a frozen base is kept in bf16 where bf16 is fast
    parts = {
        "weights": counts.total * stored + (trained * 4 if job.purpose == "tune" else 0),
        "gradients": trained * 4,
        "optimizer": trained * 8,  # AdamW: two fp32 moments
        "activations": 0,
        "logits": _logit_bytes(config, tokens),
        "state": 0,
        "process": PROCESS_BYTES,
    }
    if job.purpose == "score":
        parts["state"] = kv_bytes(config, tokens, 2 if cast else 4)
    else:
        parts["activations"] = round(tokens * sum(activation_bytes(job, cast)))
        if cast and job.purpose == "train":
            parts["activations"] += 2 * counts.in_products  # each product keeps its own bf16 copy of the weight
    return parts


def activation_bytes(job: Job, cast: bool) -> list[float]:
    """Bytes a token leaves for the backward pass, layer by layer.

    With `recompute` a layer leaves its input, and one layer at a time everything.
    """
    config = job.config
    if isinstance(config, RecurrentConfig):
        # Four gates, cell and output, before and after their nonlinearity.
        return [config.hidden_size * 4.0 * 12] * config.layers
    layers = [
        _layer_bytes(stack, cast, min(job.row, stack.window(layer) or job.row))
        for stack in stacks(config)
        for layer in range(stack.layers)
    ]
    return [config.hidden_size * 4.0] * len(layers) + [max(layers)] if job.recompute else layers


def _layer_bytes(config: TransformerConfig, cast: bool, seen: int) -> float:
    """Bytes one token leaves in one layer, in which it sees `seen` tokens.

    The numbers were counted with `torch.autograd.graph.saved_tensors_hooks`; a test counts again.
    """
    heads = config.attention.heads
    width, inner = (2 if cast else 4), heads * config.head_size
    attentions = 2 if config.cross_attention else 1
    branches = attentions + 1
    serial = config.residual == "serial"
    inputs = 1 if config.residual == "parallel-one-norm" else branches  # of products
    streams = (0 if config.norm.place == "output" else branches) if serial else 1  # normed, which stay in fp32
    outputs = branches if config.norm.place in ("output", "sandwich") else 0  # of branches, normed
    kept = config.hidden_size * (streams * 4 + (inputs + outputs) * width + (6 if cast else 0))
    turned = 1 if isinstance(config.positions, Rotary) else 0
    # The kernel reads grouped keys and values as they are; beside a soft cap each head has a copy.
    shared = config.kv_heads * config.head_size if config.attention.softcap is None else inner
    kept += attentions * width * ((2 + turned) * inner + 2 * shared)
    kept += attentions * inner * 2 * width if config.attention.norm else 0
    if config.attention.softcap is not None:  # scores stand in memory: their tanh and their softmax
        kept += 8 * heads * seen - width * inner
    return kept + _feed_forward_bytes(config, width)


def _feed_forward_bytes(config: TransformerConfig, width: int) -> float:
    options = config.feed_forward
    numbers = 4 if options.gated else 1 if options.activation == "relu" else 2
    experts = options.experts
    if experts is None:
        return width * numbers * options.size
    sizes = experts.active * options.size + experts.shared_size
    return width * (numbers * sizes + 3 * experts.active * config.hidden_size)  # gathered, computed, weighted


def _delta_parameters(config: Config, rank: int) -> int:
    """Of deltas on every linear layer but the head."""
    if isinstance(config, RecurrentConfig):
        return rank * 8 * config.hidden_size * config.layers
    return rank * sum(stack.layers * _delta_width(stack) for stack in stacks(config))


def _delta_width(config: TransformerConfig) -> int:
    """Inputs and outputs of a layer's linear layers together."""
    inner, grouped = config.attention.heads * config.head_size, config.kv_heads * config.head_size
    hidden, options = config.hidden_size, config.feed_forward
    attention = 2 * (hidden + inner) + 2 * (hidden + grouped)
    experts = options.experts
    sizes = [options.size] if experts is None else [options.size] * experts.count + [experts.shared_size]
    feed_forward = sum((3 if options.gated else 2) * (hidden + size) for size in sizes if size)
    return attention * (2 if config.cross_attention else 1) + feed_forward


def _logit_bytes(config: Config, tokens: int) -> int:
    """Logits, their softmax and gradient in fp32 for the positions held at a time; none without a head."""
    if isinstance(config, TransformerConfig) and config.head is None:
        return 0
    return min(tokens, rows_at_once(config.vocabulary_size)) * config.vocabulary_size * 12


def machine_memory() -> int | None:
    """Bytes this process may use: the machine's, or less where a container says so; None if unknown."""
    limit = Path("/sys/fs/cgroup/memory.max")
    found = []
    if limit.is_file() and (text := limit.read_text("utf-8").strip()).isdigit():
        found.append(int(text))
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found) if found else None
