"""Optimizers over the parameters that train."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW

from fourfold.errors import UserError


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
    the learning rate.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("nothing to train: every parameter is frozen")
    matrices = [parameter for parameter in trained if parameter.ndim >= 2 and id(parameter) not in embeddings]
    others = [parameter for parameter in trained if parameter.ndim < 2 or id(parameter) in embeddings]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trained)
    return AdamW(
        [group for group in groups if group["params"]], lr=learning_rate, betas=betas, eps=epsilon, fused=fused
    )
