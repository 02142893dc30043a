"""Choosing the next token: small functions of logits, composed in a list.

Letters: V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fourfold.inference.results import Sampling

LogitsTransform = Callable[[Tensor], Tensor]
"""(V,) logits to (V,) logits; what may not be chosen becomes minus infinity."""

MINUS_INFINITY = float("-inf")


def scale_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide by the temperature: below 1 sharper, above 1 flatter."""
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens (Fan et al. 2018, section 5.4); ties at the edge stay."""
    if k >= logits.shape[-1]:
        return logits
    edge = logits.topk(k).values[-1]
    return logits.masked_fill(logits < edge, MINUS_INFINITY)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens whose probability reaches p (Holtzman et al. 2020, section 3.1)."""
    ordered, order = logits.softmax(-1).sort(descending=True)
    before = ordered.cumsum(-1) - ordered
    keep = before < p
    keep[0] = True
    return logits.masked_fill(torch.ones_like(keep).scatter(0, order, ~keep), MINUS_INFINITY)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """Keep tokens at least p times as probable as the most probable one (Nguyen et al. 2024, section 3)."""
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.max(), MINUS_INFINITY)


def transforms(sampling: Sampling) -> list[LogitsTransform]:
    """The transforms a request asks for, in the order temperature, top-k, top-p, min-p."""
    steps: list[LogitsTransform] = []
    if sampling.temperature is not None and sampling.temperature != 1:
        steps.append(partial(scale_temperature, temperature=sampling.temperature))
    if sampling.top_k is not None:
        steps.append(partial(keep_top_k, k=sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1:
        steps.append(partial(keep_top_p, p=sampling.top_p))
    if sampling.min_p is not None and sampling.min_p > 0:
        steps.append(partial(keep_min_p, p=sampling.min_p))
    return steps


class Sampler:
    """One request's choice of tokens: its transforms and its own random stream."""

    def __init__(self, sampling: Sampling) -> None:
        self.greedy = sampling.temperature == 0
        self.transforms = [] if self.greedy else transforms(sampling)
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)

    def choose(self, logits: Tensor) -> int:
        """An id from (V,) fp32 logits."""
        if self.greedy:
            return int(logits.argmax())
        for transform in self.transforms:
            logits = transform(logits)
        return int(torch.multinomial(logits.softmax(-1), 1, generator=self.generator))
