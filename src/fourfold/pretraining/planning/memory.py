"""Bytes by part of a job on this machine, at the peak of a step of our own training loop.

Everything is a function of a *configuration*; nothing is allocated.

Letters: D hidden size, I heads x head size, F feed-forward size, H heads, T tokens of a row.
"""

from __future__ import annotations

from typing import NamedTuple

from fourfold.models import Config, Recurrent, RecurrentConfig, TransformerConfig
from fourfold.models.elmo import ElmoConfig
from fourfold.models.inspection import count, kv_bytes, stacks
from fourfold.models.transformer import Rotary
from fourfold.models.transformer.blockwise import BLOCK, NATIVE
from fourfold.pretraining.planning.job import Job
from fourfold.pretraining.planning.states import optimizer_bytes
from fourfold.training import Precision, rows_at_once

PROCESS_BYTES = 565_000_000
"""Resident size of a process that walks a recipe, all else in this file left out. It was 75 MB more when numba and
polars were imported at the start; of ten recipes on a quiet machine 486 to 640 MB (LOG.md, 2026-11-28)."""
GAPS = 0.25
"""Of what a transformer's step makes and frees: holes of the heap between sizes that do not fit each other. Measured,
0.21 to 0.29 on four recipes; a recurrent layer makes few large tensors and leaves none (LOG.md, 2026-11-28)."""


class Kept(NamedTuple):
    """Bytes a token leaves in one layer for the backward pass."""

    whole: float
    """Of the stream of D numbers and its norms: every rank of a tensor-parallel group keeps them."""
    shared: float
    """Of heads and feed-forward: they are split over such a group."""

    @property
    def total(self) -> float:
        return self.whole + self.shared


def memory(job: Job, precision: Precision) -> dict[str, int]:
    """Bytes by part, at the peak of a step of our own training loop."""
    counts, config = count(job.config), job.config
    cast = precision.autocast is not None
    tokens = job.batch_size * job.row
    trained = {"train": counts.total, "tune": _delta_parameters(config, job.delta_rank), "score": 0}[job.purpose]
    stored = 4 if job.purpose == "train" or not cast else 2  # a frozen base is kept in bf16 where bf16 is fast
    parts = {
        "weights": counts.total * stored + (trained * 4 if job.purpose == "tune" else 0),
        "gradients": trained * 4,  # or less, see `_fullest`
        "optimizer": trained * 8 if job.purpose != "train" else optimizer_bytes(config, job.optimizer),
        "activations": 0,
        "logits": _logit_bytes(config, round(tokens * job.predicted), cast),
        "heap gaps": 0,
        "state": 0,
        "process": PROCESS_BYTES,
    }
    if job.purpose == "score":
        parts["state"] = kv_bytes(config, tokens, 2 if cast else 4)
    else:
        parts["activations"] = round(tokens * sum(activation_bytes(job, cast)))
        if cast and job.purpose == "train":
            parts["activations"] += 2 * counts.in_products  # each product keeps its own bf16 copy of the weight
        if job.purpose == "train":
            parts |= _fullest(job, parts)
        if not isinstance(config, Recurrent):
            parts["heap gaps"] = round(GAPS * (parts["activations"] + parts["logits"]))
    return parts


def _fullest(job: Job, parts: dict[str, int]) -> dict[str, int]:
    """What stands beside each other when the most does: at the loss all activations and the gradient of the head, or
    after the last layer all gradients."""
    config = job.config
    if isinstance(config, TransformerConfig) and config.head is None:
        return {}
    head = 4 * config.vocabulary_size * config.hidden_size
    at_loss = head + parts["activations"] + parts["logits"]
    return {"gradients": head} if at_loss > parts["gradients"] else {"activations": 0, "logits": 0}


def activation_bytes(job: Job, cast: bool) -> list[float]:
    """Bytes a token leaves for the backward pass, layer by layer.

    With `recompute` a layer leaves its input, and one layer at a time everything.
    """
    config = job.config
    if isinstance(config, Recurrent):
        both = isinstance(config, ElmoConfig)
        if cast and isinstance(config, RecurrentConfig) and config.cell == "lstm":
            # Gates after their nonlinearity, cells and their tanh in fp32; inputs and outputs in bf16.
            return [config.hidden_size * (4.0 * 6 + 2 * 2)] * config.layers
        # Four gates, cell and output, before and after their nonlinearity.
        return [config.hidden_size * 4.0 * 12] * config.layers * (2 if both else 1)
    layers = [kept.total for kept in kept_by_layer(job, cast)]
    return [config.hidden_size * 4.0] * len(layers) + [max(layers)] if job.recompute else layers


def kept_by_layer(job: Job, cast: bool, *, apart: bool = False) -> list[Kept]:
    """The same without recomputing, of a transformer, told apart by what tensor parallelism does with it.

    `apart`: each projection is a product by itself and attention PyTorch's kernel, as others train. Ours puts them
    together under autocast, and on processors with bf16 attends by blocks.
    """
    assert not isinstance(job.config, Recurrent)
    return [
        _layer_bytes(stack, cast, min(job.row, stack.window(layer) or job.row), together=cast and not apart)
        for stack in stacks(job.config)
        for layer in range(stack.layers)
    ]


def _layer_bytes(config: TransformerConfig, cast: bool, seen: int, *, together: bool) -> Kept:
    """What one token leaves in one layer, in which it sees `seen` tokens.

    The numbers were counted with `torch.autograd.graph.saved_tensors_hooks`; a test counts again.
    """
    heads = config.attention.heads
    width, inner = (2 if cast else 4), heads * config.head_size
    attentions = 2 if config.cross_attention else 1
    branches = attentions + 1
    serial = config.residual == "serial"
    inputs = 1 if config.residual == "parallel-one-norm" and not together else branches  # of products, or their casts
    streams = (0 if config.norm.place == "output" else branches) if serial else 1  # normed, which stay in fp32
    outputs = branches if config.norm.place in ("output", "sandwich") else 0  # of branches, normed
    whole = config.hidden_size * (streams * 4 + (inputs + outputs) * width + (6 if cast and not together else 0))
    turned = 1 if isinstance(config.positions, Rotary) else 0
    # The kernel reads grouped keys and values as they are; beside a soft cap each head has a copy.
    grouped = config.kv_heads * config.head_size if config.attention.softcap is None else inner
    shared = attentions * width * ((2 + turned) * inner + 2 * grouped)
    shared += attentions * inner * 2 * width if config.attention.norm else 0
    products = together and NATIVE and config.attention.softcap is None
    if products and seen > BLOCK:
        shared -= turned * width * inner  # attention by blocks keeps queries as they are scaled, and copies of the rest
    elif together and turned and config.attention.norm is None and config.attention.softcap is None:
        # Values lie in the product that queries and keys came from, which stays as long as they do.
        shared += attentions * width * (inner + grouped)
    if products and seen <= BLOCK:  # the weights stand in memory; heads that share keys are rows, kept once
        shared += width * ((-1 if turned else 1) * inner + heads * seen - (inner if grouped < inner else 0))
    if config.attention.softcap is not None:  # scores stand in memory: their tanh and their softmax
        shared += (6 if cast else 8) * heads * seen - width * inner
    return Kept(whole, shared + _feed_forward_bytes(config, width))


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
    if isinstance(config, Recurrent):
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


def _logit_bytes(config: Config, tokens: int, cast: bool) -> int:
    """Logits and their softmax in fp32, and as products made them, for the positions held at a time; none without a
    head."""
    if isinstance(config, TransformerConfig) and config.head is None:
        return 0
    return min(tokens, rows_at_once(config.vocabulary_size)) * config.vocabulary_size * (10 if cast else 12)
