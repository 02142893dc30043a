"""How many processes share one training, and what each of them holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.errors import UserError
from fourfold.models import Config, EncoderDecoderConfig, Recurrent
from fourfold.models.transformer import Relative

Shard = Literal["none", "zero1", "zero2", "zero3"]
"""What data-parallel processes split instead of repeating it (Rajbhandari et al. 2020, "ZeRO", section 5): nothing; the
optimizer's state; the gradients too; the weights too."""


@dataclass(frozen=True, kw_only=True)
class ParallelPlan:
    """A grid of processes: pipeline x data x context x tensor. Numbers that lie close together talk most."""

    data: int = 1
    """Groups that each read their own rows of a batch."""
    shard: Shard = "none"
    """What those groups split; with a pipeline, gradients are kept whole until the step is done whatever it says."""
    tensor: int = 1
    """Processes that split every matrix."""
    pipeline: int = 1
    """Processes that each have some of the layers."""
    context: int = 1
    """Processes that split every row."""
    micro_batches: int | None = None
    """Pieces that the rows of a process are cut into; None: as many as there are stages."""
    schedule: Literal["1f1b", "gpipe"] = "1f1b"
    """How a pipeline takes turns: backward as soon as possible, or after all forward passes."""

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("data", "tensor", "pipeline", "context")}
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"'{name}' is out of range", where="parallel", expected="1 or more", got=size)
        if self.pieces < self.pipeline and self.schedule == "1f1b":
            raise UserError(
                "a pipeline runs dry with fewer micro-batches than stages",
                where="parallel",
                expected=f"micro_batches of {self.pipeline} or more",
                got=self.pieces,
            )

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.data * self.tensor * self.pipeline * self.context

    @property
    def pieces(self) -> int:
        return self.pipeline if self.micro_batches is None else self.micro_batches

    @property
    def replicas(self) -> int:
        """Processes that hold the same part of the model and see different tokens."""
        return self.data * self.context

    def __str__(self) -> str:
        sizes = (("pipeline", self.pipeline), ("data", self.data), ("context", self.context), ("tensor", self.tensor))
        parts = [f"{name} {size}" for name, size in sizes if size > 1] or ["data 1"]
        return ", ".join(parts) + ("" if self.shard == "none" else f", {self.shard}")

    def check_batch(self, rows: int, length: int) -> None:
        """Refuse a batch that the grid cannot divide evenly."""
        _divides("the rows of a batch", rows, self.data * self.pieces, "'data' times the micro-batches of a process")
        _divides("the tokens of a row", length, self.context, "'context'")

    def check_model(self, config: Config) -> None:
        """Refuse a model that the grid cannot divide, or that a way of dividing is not written for."""
        if self.tensor == self.pipeline == self.context == 1:
            return
        if isinstance(config, Recurrent | EncoderDecoderConfig):
            raise UserError(
                "only a model of one transformer stack can be divided by tensor, pipeline or context",
                where="parallel",
                advice="Use data and shard for this family.",
            )
        for way in ("tensor", "pipeline", "context"):
            _refuse(getattr(self, way) > 1 and isinstance(config.positions, Relative), way, "relative positions")
        if self.tensor > 1:
            _divides("the attention heads", config.attention.heads, self.tensor, "'tensor'")
            _divides("the key-value heads", config.kv_heads, self.tensor, "'tensor'")
            _divides("the feed-forward size", config.feed_forward.size, self.tensor, "'tensor'")
            _refuse(config.attention.norm is not None, "tensor", "norms of queries and keys")
            head = config.head
            _refuse(head is not None and (head.bias or head.transform is not None), "tensor", "such a head")
            _refuse(config.embedding_size != config.hidden_size, "tensor", "embeddings of another width")
        if self.pipeline > 1 and config.layers < self.pipeline:
            raise UserError(
                "there are fewer layers than stages",
                where="parallel",
                expected=f"a pipeline of {config.layers} or less",
                got=self.pipeline,
            )
        _refuse(self.pipeline > 1 and config.feed_forward.experts is not None, "pipeline", "experts")
        _refuse(self.context > 1 and config.mask != "causal", "context", f"{config.mask} attention")


def _divides(what: str, number: int, by: int, whose: str) -> None:
    if number % by:
        raise UserError(
            f"{what} cannot be divided by {whose}", where="parallel", expected=f"a multiple of {by}", got=number
        )


def _refuse(wrong: bool, way: str, what: str) -> None:
    if wrong:
        raise UserError(
            f"'{way}' is not written for models with {what}", where="parallel", advice="Use data and shard instead."
        )
