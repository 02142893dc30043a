"""A piece of work on one model, and the operations it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.errors import UserError
from fourfold.models import Config, Recurrent
from fourfold.models.inspection import count, forward_flops, stacks

Purpose = Literal["train", "tune", "score"]
"""Train every weight; train low-rank deltas of a frozen model; read text only."""


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
    optimizer: str = "adamw"
    """Of `train`, by its name in a recipe."""
    compiled: bool = False
    """Layers and loss are compiled, as trainings of five minutes and more are."""
    predicted: float = 1.0
    """Share of the tokens that are predicted and so go through the head; the operations are counted for all."""

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
        sides = 1 if isinstance(job.config, Recurrent) else len(stacks(job.config))
        frozen = 2.0 * count(job.config).in_products / sides
    return 3 * forward + again - frozen


def flops(job: Job) -> float:
    """Floating-point operations of the whole job."""
    return flops_per_token(job) * job.tokens


def rule_of_six(job: Job) -> float:
    """6 N D (Kaplan et al. 2020, section 2.1), N the active parameters: what is quoted where attention is left out."""
    return 6.0 * count(job.config).active * job.tokens
