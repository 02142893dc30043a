"""Direct preference optimization (Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.adaptation.alignment.batches import PreferenceBatch
from fourfold.models import Step
from fourfold.training import causal, label_log_probs, rows_at_once


def dpo_loss(
    chosen: Tensor, rejected: Tensor, chosen_reference: Tensor, rejected_reference: Tensor, beta: float
) -> Tensor:
    """-ln sigmoid(beta (ln pi(y_w)/ref(y_w) - ln pi(y_l)/ref(y_l))), one value a pair.

    Rafailov et al. 2023, equation 7. The arguments are log-probabilities of whole answers.
    """
    return -F.logsigmoid(beta * ((chosen - chosen_reference) - (rejected - rejected_reference)))


@dataclass(frozen=True, kw_only=True)
class DPO:
    """The objective over `PreferenceBatch`es. The reference is the model with its first `reference_adapters` deltas.

    After SFT by LoRA that is 1: the SFT model, not the bare base, is what DPO may not leave.
    "margin" (the difference of implicit rewards) and "accuracy" are watched, not minimised.
    """

    beta: float = 0.1
    reference_adapters: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: {"preference": 1.0})

    def counts(self, batch: PreferenceBatch) -> Mapping[str, float]:
        return dict.fromkeys(("preference", "margin", "accuracy"), float(batch.pairs))

    def __call__(self, model: nn.Module, batch: PreferenceBatch) -> Mapping[str, Tensor]:
        policy = _answer_log_probs(model, batch, None)
        with torch.no_grad():
            reference = _answer_log_probs(model, batch, self.reference_adapters)
        losses = dpo_loss(*policy, *reference, self.beta)
        margins = self.beta * ((policy[0] - reference[0]) - (policy[1] - reference[1])).detach()
        return {"preference": losses.sum(), "margin": margins.sum(), "accuracy": (margins > 0).float().sum()}


def _answer_log_probs(model: nn.Module, batch: PreferenceBatch, adapters: int | None) -> tuple[Tensor, Tensor]:
    """(P,) ln P(chosen answer) and (P,) ln P(rejected answer)."""
    lm = causal(model)
    hidden = lm.hidden(Step(ids=batch.ids, lengths=batch.lengths, adapters=adapters))
    rows = rows_at_once(lm.vocabulary_size)
    totals = label_log_probs(lm.logits, hidden, batch.labels, rows).sum(1)
    return totals[: batch.pairs], totals[batch.pairs :]
