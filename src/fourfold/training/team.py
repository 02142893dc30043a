"""Who trains: one process alone, or several that make every step together (`fourfold.training.parallel`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from fourfold.training.precision import Precision
from fourfold.training.stored import Piece

LossOf = Callable[[nn.Module, Any], Tensor]
"""A model and a micro-batch to their part of the step's loss: parts add up, over processes too."""


class Team(Protocol):
    """What the loop and checkpoints ask of the processes that make a step; all ask the same at the same time."""

    @property
    def together(self) -> bool:
        """Whether there is anybody else."""

    @property
    def rank(self) -> int:
        """Number of this process; the first one writes what is written once."""

    @property
    def complete(self) -> bool:
        """Whether this process has at least a piece of every parameter."""

    @property
    def seat(self) -> int:
        """Added to the seed of a step: processes that compute different numbers draw different ones."""

    def share(self, batches: Sequence[Any]) -> Sequence[Any]:
        """This process's part of the micro-batches of a step."""

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Sums over the processes, the same bits in each."""

    def backward(self, model: nn.Module, batches: Sequence[Any], loss_of: LossOf, precision: Precision) -> None:
        """Leave the gradient of the whole step, or this process's piece of it."""

    def norm(self, parameters: Sequence[Tensor]) -> Tensor:
        """Length of the whole gradient."""

    def scale(self, parameters: Sequence[Tensor], factor: Tensor) -> None:
        """Multiply the gradients."""

    def any(self, wish: bool) -> bool:
        """Whether any process says so."""

    def wait(self) -> None:
        """Until all are here."""

    def owns(self, parameter: Tensor) -> bool:
        """Whether this process is the one that answers for its piece of a parameter."""

    def piece(self, tensor: Tensor) -> tuple[Piece, Tensor]:
        """Which box of the whole tensor this process holds, and what is in it."""

    def placed(self, part: Tensor, model: Tensor) -> Tensor:
        """The local part of a tensor that is split as `model` is, as a tensor like it."""


@final
class Alone:
    """One process: nothing is shared and nothing waits."""

    together = False
    rank = 0
    complete = True
    seat = 0

    def share(self, batches: Sequence[Any]) -> Sequence[Any]:
        return batches

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        return dict(numbers)

    def backward(self, model: nn.Module, batches: Sequence[Any], loss_of: LossOf, precision: Precision) -> None:
        for batch in batches:
            loss_of(model, batch).backward()  # type: ignore[no-untyped-call]  # torch's backward has no types

    def norm(self, parameters: Sequence[Tensor]) -> Tensor:
        return nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])

    def scale(self, parameters: Sequence[Tensor], factor: Tensor) -> None:
        torch._foreach_mul_([parameter.grad for parameter in parameters if parameter.grad is not None], factor)

    def any(self, wish: bool) -> bool:
        return wish

    def wait(self) -> None:
        """Nobody to wait for."""

    def owns(self, parameter: Tensor) -> bool:
        return True

    def piece(self, tensor: Tensor) -> tuple[Piece, Tensor]:
        return Piece.whole(tensor.shape), tensor

    def placed(self, part: Tensor, model: Tensor) -> Tensor:
        return part.to(model.device)


ALONE = Alone()
