"""Which tokens may be drawn: small functions of candidates.

Letters: B rows, K candidates of a row *in falling order of their logits*, so that none has to sort; K may be the
whole vocabulary, and top-k (Fan et al. 2018, section 5.4) is a K of k: see `drawing.largest`. An option is a number,
or (B, 1) numbers, one a row. What may not be drawn becomes minus infinity.

`total` (B, 1) is the logarithm of the sum of exp over all tokens of a row, where the candidates are not all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

MINUS_INFINITY = float("-inf")
Option = float | Tensor


def scale_temperature(logits: Tensor, temperature: Option) -> Tensor:
    """Divide by the temperature: below 1 sharper, above 1 flatter (Ackley et al. 1985)."""
    return logits / temperature


def keep_top_p(logits: Tensor, p: Option, total: Tensor | None = None) -> Tensor:
    """Keep the smallest set of tokens whose probability reaches p, at least one (Holtzman et al. 2020, section 3.1)."""
    probabilities = _probabilities(logits, total)
    before = probabilities.cumsum(-1) - probabilities
    dropped = before >= p
    dropped[..., 0] = False
    return logits.masked_fill(dropped, MINUS_INFINITY)


def keep_min_p(logits: Tensor, p: Option) -> Tensor:
    """Keep tokens at least p times as probable as the most probable one (Nguyen et al. 2024, section 3)."""
    return logits.masked_fill((logits - logits[..., :1]).exp() < p, MINUS_INFINITY)


def keep_typical(logits: Tensor, p: Option) -> Tensor:
    """Keep the smallest set of tokens, those whose information is nearest to the entropy first, that reaches p.

    Meister et al. 2023 (first 2022), section 4. All tokens that may still be drawn have to be candidates.
    """
    log_probs = logits.log_softmax(-1)
    probabilities = log_probs.exp()
    parts = probabilities * log_probs.masked_fill(probabilities == 0, 0)
    entropy = -parts.cumsum(-1)[..., -1:]  # a plain sum of a lone row is split among threads, so it has other last bits
    order = (-log_probs - entropy).abs().sort(dim=-1, stable=True).indices
    ordered = probabilities.gather(-1, order)
    dropped = ordered.cumsum(-1) - ordered >= p
    dropped[..., 0] = False
    return logits.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), MINUS_INFINITY)


def _probabilities(logits: Tensor, total: Tensor | None) -> Tensor:
    return logits.softmax(-1) if total is None else (logits - total).exp()
