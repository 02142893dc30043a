"""Optimizers by name, over the parameters that train."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.optim import Adafactor, AdamW, Muon, Optimizer

from fourfold.errors import unknown_name
from fourfold.training.optimizers.eight_bit import AdamW8bit
from fourfold.training.optimizers.groups import decay_groups, hidden_matrices, trained_parameters
from fourfold.training.optimizers.lion import Lion
from fourfold.training.optimizers.together import Together


def adamw(
    model: nn.Module,
    learning_rate: float,
    *,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) with decay on weight matrices only (`decay_groups`).

    As in PyTorch, the decay is multiplied by the learning rate.
    """
    trained = trained_parameters(model)
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trained)
    groups = decay_groups(model, trained, weight_decay)
    return AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)


def adamw_8bit(model: nn.Module, learning_rate: float, *, weight_decay: float = 0.1) -> Optimizer:
    """AdamW with moments of one byte a weight."""
    return AdamW8bit(decay_groups(model, trained_parameters(model), weight_decay), lr=learning_rate)


def adafactor(model: nn.Module, learning_rate: float, *, weight_decay: float = 0.0) -> Optimizer:
    """Adafactor without momentum (Shazeer and Stern 2018, algorithm 4): PyTorch's.

    `learning_rate` is relative: a step changes a tensor by that share of its own root mean square. So weights that
    start far apart, as T5's queries (0.01) and embeddings (1) do, learn at one pace, and need no rate each. As in
    PyTorch, it is never more than 1 / sqrt(step).
    """
    return Adafactor(decay_groups(model, trained_parameters(model), weight_decay), lr=learning_rate)


def lion(model: nn.Module, learning_rate: float, *, weight_decay: float = 0.1) -> Optimizer:
    """Lion; its authors advise a learning rate 3 to 10 times smaller than AdamW's, and as much more decay."""
    return Lion(decay_groups(model, trained_parameters(model), weight_decay), lr=learning_rate)


def muon(model: nn.Module, learning_rate: float, *, weight_decay: float = 0.1) -> Optimizer:
    """Muon (Jordan et al. 2024) for the matrices between hidden layers, AdamW for all else.

    PyTorch's, with updates scaled to the size AdamW's have (Liu et al. 2025, "Muon is Scalable for LLM Training",
    equation 4), so that both parts share one learning rate.
    """
    trained = trained_parameters(model)
    matrices = hidden_matrices(model, trained)
    inside = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in trained if id(parameter) not in inside]
    parts: list[Optimizer] = []
    if matrices:
        groups = decay_groups(model, matrices, weight_decay)
        parts.append(Muon(groups, lr=learning_rate, adjust_lr_fn="match_rms_adamw"))
    if rest:
        parts.append(AdamW(decay_groups(model, rest, weight_decay), lr=learning_rate, betas=(0.9, 0.95)))
    return Together(parts)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": adamw,
    "adamw-8bit": adamw_8bit,
    "adafactor": adafactor,
    "lion": lion,
    "muon": muon,
}


def make_optimizer(name: str, model: nn.Module, learning_rate: float, *, weight_decay: float = 0.1) -> Optimizer:
    """The optimizer of that name, as recipes give it."""
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name](model, learning_rate, weight_decay=weight_decay)
