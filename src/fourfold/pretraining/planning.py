"""What a training or scoring job takes before it is started: parameters, FLOPs, memory, time.

Everything is a function of a *configuration*; nothing of the model's size is allocated
except in `measure_speed`, which times one step of a slice of it.

Letters: N parameters in matrix products, L layers, D hidden size, I heads x head size,
F feed-forward size, T tokens of a row, V vocabulary size.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fourfold.errors import UserError, unknown_name
from fourfold.models import Config, RecurrentConfig, TransformerConfig, make_module, model_config
from fourfold.training import Precision, rows_at_once

Purpose = Literal["train", "tune", "score"]
"""Train every weight; train low-rank deltas of a frozen model; read text only."""

PROCESS_BYTES = 450_000_000
"""Resident size of Python with torch loaded, measured on Linux."""

PUBLISHED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # Allal et al. 2025 and the models' own config.json.
    "smollm2": {
        "135m": {"layers": 30, "hidden_size": 576, "heads": 9, "kv_heads": 3, "feed_forward_size": 1536},
        "360m": {"layers": 32, "hidden_size": 960, "heads": 15, "kv_heads": 5, "feed_forward_size": 2560},
        "1.7b": {"layers": 24, "hidden_size": 2048, "heads": 32, "feed_forward_size": 8192},
    },
    # Touvron et al. 2023, table 2; feed-forward sizes from the released params.json.
    "llama": {
        "7b": {"layers": 32, "hidden_size": 4096, "heads": 32, "feed_forward_size": 11008},
        "13b": {"layers": 40, "hidden_size": 5120, "heads": 40, "feed_forward_size": 13824},
        "33b": {"layers": 60, "hidden_size": 6656, "heads": 52, "feed_forward_size": 17920},
        "65b": {"layers": 80, "hidden_size": 8192, "heads": 64, "feed_forward_size": 22016},
    },
    # Radford et al. 2019, table 2.
    "gpt2": {
        "small": {"layers": 12, "hidden_size": 768, "heads": 12},
        "medium": {"layers": 24, "hidden_size": 1024, "heads": 16},
        "large": {"layers": 36, "hidden_size": 1280, "heads": 20},
        "xl": {"layers": 48, "hidden_size": 1600, "heads": 25},
    },
}
COMMON: Mapping[str, Mapping[str, Any]] = {
    "smollm2": {"family": "llama", "vocabulary_size": 49152, "context": 2048, "tied_embeddings": True},
    "llama": {"family": "llama", "vocabulary_size": 32000, "context": 2048, "tied_embeddings": False},
    "gpt2": {"family": "gpt2", "vocabulary_size": 50257, "context": 1024, "tied_embeddings": True},
}
ALIASES = {"gpt2": {"124m": "small", "355m": "medium", "774m": "large", "1.5b": "xl"}, "llama": {"30b": "33b"}}


def published_config(reference: str) -> Config:
    """The configuration of a published model, such as `llama:7b`, `smollm2:135m` or `gpt2:xl`."""
    family, _, size = reference.lower().partition(":")
    if family not in PUBLISHED:
        raise unknown_name("family", family, PUBLISHED)
    size = ALIASES.get(family, {}).get(size, size)
    if size not in PUBLISHED[family]:
        raise unknown_name(f"size of {family}", size, PUBLISHED[family])
    table = {**COMMON[family], **PUBLISHED[family][size]}
    return model_config(table, table.pop("vocabulary_size"))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A piece of work on one model."""

    config: Config
    tokens: float
    """Tokens that go through the model in all."""
    batch_size: int = 8
    context: int | None = None
    """Tokens of a row; None: the model's own context."""
    purpose: Purpose = "train"
    delta_rank: int = 8
    """Rank of the low-rank deltas of `tune`."""

    def __post_init__(self) -> None:
        if self.tokens <= 0 or self.batch_size < 1 or self.row < 1:
            raise UserError(
                "a plan needs tokens, batch size and context of at least 1",
                got=f"{self.tokens:g}, {self.batch_size} and {self.row}",
            )

    @property
    def row(self) -> int:
        return self.config.context if self.context is None else self.context


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a configuration."""

    total: int
    """Every distinct weight; a tied head is counted once."""
    in_products: int
    """Weights a token is multiplied with: all but embedding tables that are only looked up."""


def count(config: Config) -> Counts:
    """Count without allocating."""
    import torch

    with torch.device("meta"):
        total = sum(parameter.numel() for parameter in make_module(config).parameters())
    looked_up = 0 if config.tied_embeddings else config.vocabulary_size * config.hidden_size
    if isinstance(config, TransformerConfig) and type(config.positions).__name__ == "Learned":
        looked_up += config.context * config.hidden_size
    return Counts(total=total, in_products=total - looked_up)


def flops(job: Job) -> float:
    """Floating-point operations of the whole job.

    A token costs 2N forward and 4N backward (Kaplan et al. 2020, section 2.1), plus attention:
    4LIT forward and twice that backward (Chowdhery et al. 2022, appendix B, who like us do not
    take off the half that the causal mask saves). With frozen weights their own gradients, 2N,
    are not computed; the deltas are small and left out.
    """
    factor = {"train": 6, "tune": 4, "score": 2}[job.purpose]
    per_token = float(factor * count(job.config).in_products)
    if isinstance(job.config, TransformerConfig):
        inner = job.config.attention.heads * job.config.head_size
        attention = 4 * job.config.layers * inner * job.row
        per_token += attention * (1 if job.purpose == "score" else 3)
    return per_token * job.tokens


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
        parts["state"] = _state_bytes(config, tokens, 2 if cast else 4)
    else:
        parts["activations"] = round(tokens * config.layers * _activation_bytes(config, cast))
        if cast and job.purpose == "train":
            parts["activations"] += 2 * counts.in_products  # each product keeps its own bf16 copy of the weight
    return parts


def _delta_parameters(config: Config, rank: int) -> int:
    if not isinstance(config, TransformerConfig):
        return rank * 8 * config.hidden_size * config.layers
    inner, grouped = config.attention.heads * config.head_size, config.kv_heads * config.head_size
    hidden, forward = config.hidden_size, config.feed_forward.size
    sizes = 2 * (hidden + inner) + 2 * (hidden + grouped) + (3 if config.feed_forward.gated else 2) * (hidden + forward)
    return rank * sizes * config.layers


def _activation_bytes(config: Config, cast: bool) -> float:
    """Bytes one token leaves in one layer for the backward pass.

    The coefficients were counted with `torch.autograd.graph.saved_tensors_hooks`; a test counts again.
    """
    if isinstance(config, RecurrentConfig):
        return config.hidden_size * 4 * 12  # four gates, cell and output, before and after their nonlinearity
    inner = config.attention.heads * config.head_size
    rms, gated = config.norm.kind == "rms", config.feed_forward.gated
    if cast:
        per_hidden, per_inner, per_forward = (28.3 if rms else 18.3), 6.0, (8.1 if gated else 4.1)
    else:
        per_hidden, per_inner, per_forward = (24.0 if rms else 16.0), 16.0, (16.0 if gated else 8.0)
    return per_hidden * config.hidden_size + per_inner * inner + per_forward * config.feed_forward.size


def _logit_bytes(config: Config, tokens: int) -> int:
    """Logits, their softmax and gradient in fp32 for the positions held at a time."""
    return min(tokens, rows_at_once(config.vocabulary_size)) * config.vocabulary_size * 12


def _state_bytes(config: Config, tokens: int, size: int) -> int:
    """Keys and values (or a recurrent memory) of so many tokens."""
    if isinstance(config, RecurrentConfig):
        return 2 * config.layers * config.hidden_size * size
    return 2 * config.layers * config.kv_heads * config.head_size * tokens * size


def machine_memory() -> int | None:
    """Bytes this process may use: the machine's, or less where a container says so; None if unknown."""
    limit = Path("/sys/fs/cgroup/memory.max")
    found = []
    if limit.is_file() and (text := limit.read_text("utf-8").strip()).isdigit():
        found.append(int(text))
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found) if found else None
