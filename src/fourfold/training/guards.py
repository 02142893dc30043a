"""Stops for steps that would spoil the weights: the sentence names the step and the culprit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.training.objectives import Objective

SMALLER = "Lower the learning rate or lengthen the warm-up; the weights of the last checkpoint are unharmed."


class SpoilingStep(UserError):
    """A step that would spoil the weights; all processes of a team find it together."""


class Diverged(SpoilingStep):
    """The loss or the gradient is no number any more."""


def check_counts(counts: Mapping[str, float], step: int) -> None:
    """A step without one label has nothing to learn from."""
    if not any(counts.values()):
        raise SpoilingStep(
            "every label of the batch is masked",
            where=f"training step {step}",
            advice="Check that the texts have answers and that the context is long enough to reach them.",
        )


def check_loss(loss: Tensor, step: int, model: nn.Module, objective: Objective, batch: Any) -> None:
    """A loss that is not a number is traced to the first module that makes one."""
    if not torch.isfinite(loss):
        culprit = _first_bad_parameter(model) or _first_bad_module(model, objective, batch)
        raise Diverged(
            f"the loss is {float(loss.detach())}" + (f"; the first bad number is in {culprit}" if culprit else ""),
            where=f"training step {step}",
            advice=SMALLER,
        )


def check_mean(loss: float, step: int) -> None:
    """The same for the loss of a whole step, which no single process can trace."""
    if not math.isfinite(loss):
        raise Diverged(f"the loss is {loss}", where=f"training step {step}", advice=SMALLER)


def check_gradient(norm: Tensor, step: int, model: nn.Module) -> None:
    """Gradients that are not finite must not reach the weights."""
    if not torch.isfinite(norm):
        gradients = ((name, parameter.grad) for name, parameter in model.named_parameters())
        bad = [name for name, gradient in gradients if gradient is not None and not torch.isfinite(gradient).all()]
        raise Diverged(
            f"the gradient norm is {float(norm)}" + (f"; bad gradient of {bad[-1]}" if bad else ""),
            where=f"training step {step}",
            advice=SMALLER,
        )


def _first_bad_parameter(model: nn.Module) -> str | None:
    bad = (name for name, parameter in model.named_parameters() if not torch.isfinite(parameter).all())
    return next((f"the weight {name}" for name in bad), None)


def _first_bad_module(model: nn.Module, objective: Objective, batch: Any) -> str | None:
    """Run the forward pass again and watch the output of every module."""
    found: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and not torch.isfinite(output).all():
                found.append(f"the output of {name}")

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            objective(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
