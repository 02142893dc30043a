"""Lion: steps of one size in the direction of a sign."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer


def lion_update(
    weight: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
) -> None:
    """One step in place (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2)."""
    direction = momentum.lerp(gradient, 1 - betas[0]).sign_()
    weight.mul_(1 - learning_rate * weight_decay).sub_(direction, alpha=learning_rate)
    momentum.lerp_(gradient, 1 - betas[1])


@final
class Lion(Optimizer):
    """`lion_update` for every parameter; one number of state a weight, where AdamW has two."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure here
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                lion_update(
                    parameter,
                    parameter.grad,
                    state["momentum"],
                    learning_rate=group["lr"],
                    weight_decay=group["weight_decay"],
                    betas=group["betas"],
                )
