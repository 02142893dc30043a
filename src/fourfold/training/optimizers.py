"""Optimizers over the parameters that train."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Adafactor, AdamW

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, TransformerConfig, TransformerLM
from fourfold.models.transformer import learning_rate_scale


def adamw(
    model: nn.Module,
    learning_rate: float,
    *,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) with decay on weight matrices only.

    Norms, biases and embeddings (also one that is tied to the head) do not decay: pulling a
    rare word's vector or a gain towards zero serves no purpose. As in PyTorch, the decay is multiplied by
    the learning rate. Under muP the groups carry a `scale`, by which the loop multiplies the learning rate.
    """
    groups = _groups(model, weight_decay)
    fused = all(parameter.device.type in ("cpu", "cuda") for group in groups for parameter in group["params"])
    return AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=fused)


def adafactor(model: nn.Module, learning_rate: float, *, weight_decay: float = 0.0) -> Adafactor:
    """Adafactor without momentum (Shazeer and Stern 2018, algorithm 4); the same matrices decay as in `adamw`.

    `learning_rate` is relative: a step changes a tensor by that share of its own root mean square. So weights that
    start far apart, as T5's queries (0.01) and embeddings (1) do, learn at one pace, and need no rate each. As in
    PyTorch, it is never more than 1 / sqrt(step).
    """
    return Adafactor(_groups(model, weight_decay), lr=learning_rate)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that train, those that decay first."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("nothing to train: every parameter is frozen")
    matrices = [parameter for parameter in trained if parameter.ndim >= 2 and id(parameter) not in embeddings]
    others = [parameter for parameter in trained if parameter.ndim < 2 or id(parameter) in embeddings]
    return [*_by_scale(model, matrices, weight_decay), *_by_scale(model, others, 0.0)]


def _by_scale(model: nn.Module, parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """The parameters in one group for each factor of the learning rate."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    config: TransformerConfig | None = None
    if isinstance(model, TransformerLM):
        config = model.config
    elif isinstance(model, EncoderDecoder):
        config = model.config.decoder
    for parameter in parameters:
        scale = 1.0
        if config is not None:
            scale = learning_rate_scale(names[id(parameter)], parameter, config.initialisation, config.hidden_size)
        groups.setdefault(scale, []).append(parameter)
    return [{"params": group, "weight_decay": weight_decay, "scale": scale} for scale, group in groups.items()]
