"""Two losses that keep a mixture of experts healthy.

Letters: N tokens, E experts, k experts a token.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def load_balancing_loss(logits: Tensor, chosen: Tensor, real: Tensor | None = None) -> Tensor:
    """How unevenly one layer uses its experts: E Σ_e f_e P_e (Fedus et al. 2022, equations 4 to 6).

    `logits` (N, E) of the router, `chosen` (N, k) expert numbers, `real` (N,) True on the tokens that
    count. f_e is the share of tokens sent to expert e, P_e its mean probability; only P has a
    gradient. An even router has k. Departure: the paper has k = 1, here a token counts once for each of
    its experts, as in Mixtral.
    """
    probabilities = logits.float().softmax(-1)  # (N, E)
    sent = F.one_hot(chosen, logits.shape[-1]).sum(1).float()  # (N, E)
    weight = token_weights(logits, real)
    return logits.shape[-1] * torch.sum((weight @ sent) * (weight @ probabilities))


def router_z_loss(logits: Tensor, real: Tensor | None = None) -> Tensor:
    """Mean of (ln Σ_e exp logit_e)² over tokens (Zoph et al. 2022, equation 5): keeps the logits small.

    Shapes as in `load_balancing_loss`.
    """
    return token_weights(logits, real) @ logits.float().logsumexp(-1).square()


def token_weights(logits: Tensor, real: Tensor | None) -> Tensor:
    """(N,) weights of a mean over the real tokens."""
    weights = logits.new_ones(len(logits), dtype=torch.float32) if real is None else real.float()
    return weights / weights.sum().clamp(min=1)
