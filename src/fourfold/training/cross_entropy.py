"""Cross-entropy that never holds the logits of a whole batch.

N positions times V words in fp32 is the largest tensor of a small model's
training step. Both functions here walk over the positions in chunks.

Letters: B rows, T tokens of a row, N wanted positions, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fourfold.training.batches import IGNORED

LOGITS_AT_ONCE = 2**23
"""Logits held at a time, in elements."""
FEWEST_ROWS = 512
"""A matrix product over fewer rows wastes the processor."""

Logits = Callable[[Tensor], Tensor]
Formula = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def rows_at_once(vocabulary_size: int) -> int:
    """How many positions one chunk holds."""
    return max(FEWEST_ROWS, LOGITS_AT_ONCE // vocabulary_size)


def wanted_rows(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The (N, D) hidden states and (N,) labels of the positions that have a target."""
    hidden, labels = hidden.flatten(0, -2), labels.flatten()
    places = (labels != IGNORED).nonzero()[:, 0]
    if len(places) == len(labels):
        return hidden, labels
    return hidden.index_select(0, places), labels[places]


def cross_entropy_sum(
    model: nn.Module, logits: Logits, hidden: Tensor, labels: Tensor, rows: int, formula: Formula | None = None
) -> Tensor:
    """Sum of -ln P(label) over the wanted positions of (B, T, D) hidden states.

    The gradient is made in the forward pass, chunk by chunk, so that each chunk's
    logits are computed once and dropped (the idea of the fused linear cross-entropy
    of Hsu et al. 2024, "Liger Kernel", section 3.2; here over any `logits` function,
    with the parameters that train found by autograd). The softmax is in fp32.
    `formula` stands for `loss_and_probabilities`, compiled.
    """
    hidden, labels = wanted_rows(hidden, labels)
    if not torch.is_grad_enabled():
        chunks = zip(torch.split(hidden, rows), torch.split(labels, rows), strict=True)
        losses = (_plain_loss(logits(chunk), wanted) for chunk, wanted in chunks)
        return sum(losses, torch.zeros((), device=hidden.device))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total: Tensor = _CrossEntropySum.apply(logits, formula or loss_and_probabilities, rows, labels, hidden, *trained)  # type: ignore[no-untyped-call]  # torch's apply has no types
    return total


def loss_and_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of -ln P(label) over (N, V) logits, and its gradient for them, which is P but P - 1 at the label:
    P (N, V), and what belongs at the labels (N,)."""
    log_probs = _log_probs(logits)
    at_labels = log_probs.gather(1, labels[:, None])[:, 0].exp() - 1.0
    return _loss(log_probs, labels), log_probs.exp_().to(logits.dtype), at_labels.to(logits.dtype)


def _log_probs(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(-1)


def _plain_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return _loss(_log_probs(logits), labels) if type(logits) is Tensor else _shared_loss(logits, labels)


def _loss(log_probs: Tensor, labels: Tensor) -> Tensor:
    return -log_probs.gather(1, labels[:, None]).sum()


class _CrossEntropySum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Logits, formula: Formula, rows: int, labels: Tensor, hidden: Tensor, *parameters: Tensor
    ) -> Tensor:
        wanted = list(ctx.needs_input_grad[4:])
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden) if wanted[0] else None
        gradients: list[Tensor | None] = [None] * len(parameters)
        for start in range(0, len(labels), rows):
            end = start + rows
            with torch.set_grad_enabled(any(wanted)):
                chunk = hidden[start:end].detach().requires_grad_(wanted[0])
                loss, source, to_source = _with_gradient(logits(chunk), labels[start:end], formula)
            total += loss
            if any(wanted):
                inputs = [chunk] if wanted[0] else []
                found = list(torch.autograd.grad(source, [*inputs, *parameters], to_source, allow_unused=True))
                if hidden_gradient is not None:
                    hidden_gradient[start:end] = found.pop(0)
                gradients = [_add(old, new) for old, new in zip(gradients, found, strict=True)]
                del found
            del source, to_source  # before the next chunk's are made
        ctx.gradients = (hidden_gradient, *gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (None if gradient is None else gradient * scale for gradient in ctx.gradients)
        return (None, None, None, None, *scaled)


def _with_gradient(scores: Tensor, labels: Tensor, formula: Formula) -> tuple[Tensor, Tensor, Tensor | None]:
    """The loss of a chunk, and what its gradient begins from: the logits with theirs, or the loss itself."""
    if type(scores) is not Tensor:
        shared = _shared_loss(scores, labels)
        return shared.detach(), shared, None
    loss, to_scores, at_labels = formula(scores.detach(), labels)
    to_scores[torch.arange(len(labels), device=labels.device), labels] = at_labels
    return loss, scores, to_scores


def _shared_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Where processes split the words, logits and loss are DTensors, and autograd finds the gradient."""
    loss: Any = F.cross_entropy(logits.float(), labels, reduction="sum")
    whole: Tensor = loss.full_tensor()
    return whole


def _add(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return new if old is None else old
    return old.add_(new)


def label_log_probs(logits: Logits, hidden: Tensor, labels: Tensor, rows: int) -> Tensor:
    """(B, T) ln P(label), 0 where the label is `IGNORED`; for losses that weigh rows differently.

    Each chunk's logits are computed again in the backward pass.
    """
    places = (labels.flatten() != IGNORED).nonzero()[:, 0]
    chosen, targets = wanted_rows(hidden, labels)
    chunks: Sequence[Tensor] = [
        _chunk_log_probs(logits, chosen[start : start + rows], targets[start : start + rows])
        for start in range(0, len(targets), rows)
    ]
    flat = torch.zeros(labels.numel(), dtype=torch.float32, device=hidden.device)
    return (flat.index_copy(0, places, torch.cat(list(chunks))) if chunks else flat).view_as(labels)


def _chunk_log_probs(logits: Logits, hidden: Tensor, targets: Tensor) -> Tensor:
    def compute(chunk: Tensor) -> Tensor:
        return -F.cross_entropy(logits(chunk).float(), targets, reduction="none")

    if not torch.is_grad_enabled():
        return compute(hidden)
    result: Tensor = checkpoint(compute, hidden, use_reentrant=False, preserve_rng_state=False)
    return result
