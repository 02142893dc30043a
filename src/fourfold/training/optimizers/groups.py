"""Which parameters an optimizer treats alike: what decays, what is a matrix, what muP scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, TransformerConfig, TransformerLM
from fourfold.models.transformer import learning_rate_scale

Group = dict[str, Any]


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Those that are not frozen, at least one."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("nothing to train: every parameter is frozen")
    return trained


def decay_groups(model: nn.Module, parameters: Sequence[nn.Parameter], weight_decay: float) -> list[Group]:
    """Groups in which weight matrices decay and nothing else does.

    Norms, biases and embeddings (also one that is tied to the head) do not decay: pulling a
    rare word's vector or a gain towards zero serves no purpose. Under muP the groups carry a `scale`, by
    which the loop multiplies the learning rate.
    """
    embeddings = embedding_ids(model)
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2 and id(parameter) not in embeddings]
    others = [parameter for parameter in parameters if parameter.ndim < 2 or id(parameter) in embeddings]
    return [*_by_scale(model, matrices, weight_decay), *_by_scale(model, others, 0.0)]


def hidden_matrices(model: nn.Module, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The matrices between hidden layers: no embedding, and no head with a row for each token."""
    embeddings = embedding_ids(model)
    vocabulary = getattr(model, "vocabulary_size", None)
    return [
        parameter
        for parameter in parameters
        if parameter.ndim == 2 and id(parameter) not in embeddings and parameter.shape[0] != vocabulary
    ]


def embedding_ids(model: nn.Module) -> set[int]:
    return {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}


def _by_scale(model: nn.Module, parameters: Sequence[nn.Parameter], weight_decay: float) -> list[Group]:
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
