"""What is minimised: named sums whose counts are known before the forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models import CausalLM, EncoderDecoder, LabelScorer, Routing, Trace
from fourfold.training.batches import IGNORED, LabelledBatch, real_mask
from fourfold.training.cross_entropy import Formula, cross_entropy_sum, rows_at_once, wanted_rows
from fourfold.training.routing import load_balancing_loss, router_z_loss

Term = Literal["cross_entropy", "classes", "balance", "router_z"]


class Objective(Protocol):
    """Maps a model and a micro-batch to named sums.

    Over the micro-batches of a step, loss = sum over names of weight * (sum of sums / sum
    of counts), so unequal micro-batches accumulate to exactly the big batch. A name without
    a weight is only watched. The name "loss" is the loop's own.
    """

    @property
    def weights(self) -> Mapping[str, float]: ...

    def counts(self, batch: Any) -> Mapping[str, float]:
        """What each sum is divided by, known before the forward pass."""

    def __call__(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """One scalar sum for each name of `counts`."""


@runtime_checkable
class Classifier(Protocol):
    """A model with classes of its own beside or instead of a vocabulary."""

    def classify(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) hidden states to (B, classes) or (B, T, classes) logits."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelling:
    """Mean of -ln P(label) over the labelled positions of `LabelledBatch`es, whoever placed the labels.

    One objective for causal, prefix, masked and encoder-decoder models, because the data decides what
    is predicted where. The terms that have a weight are computed:

    * `cross_entropy`: of the vocabulary, over `labels`;
    * `classes`: of the model's classifier, over `targets` (sequences, tokens, or the two ends of a span);
    * `balance` and `router_z`: of layers with experts, each the mean over real tokens of rows that anything is
      asked of, added over layers. Balance is not a sum over tokens: over several micro-batches it is their mean by
      tokens.
    """

    rows: int | None = None
    """Positions whose logits are held at a time; None: chosen by the vocabulary's size."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0})
    span: bool = False
    """Targets are (B, 2) ends of spans."""
    formula: Formula | None = None
    """Of cross-entropy, where it is compiled (`compile_regions`)."""

    def counts(self, batch: LabelledBatch) -> Mapping[str, float]:
        found: dict[str, float] = {"cross_entropy": float((batch.labels != IGNORED).sum())}
        targets = batch.targets
        found["classes"] = 0.0 if targets is None else float((targets != IGNORED).sum())
        if "balance" in self.weights or "router_z" in self.weights:
            found["balance"] = found["router_z"] = routed_tokens(batch)
        return {name: found[name] for name in self.weights}

    def __call__(self, model: nn.Module, batch: LabelledBatch) -> Mapping[str, Tensor]:
        lm = causal(model)
        routed = "balance" in self.weights or "router_z" in self.weights
        trace = Trace() if routed else None
        hidden = lm.hidden(batch.step(trace))
        sums: dict[str, Tensor] = {}
        if "cross_entropy" in self.weights:
            own = lm.label_loss(*wanted_rows(hidden, batch.labels)) if isinstance(lm, LabelScorer) else None
            rows = self.rows or rows_at_once(lm.vocabulary_size)
            sums["cross_entropy"] = (
                cross_entropy_sum(model, lm.logits, hidden, batch.labels, rows, self.formula) if own is None else own
            )
        if "classes" in self.weights:
            sums["classes"] = class_loss_sum(model, hidden, batch, span=self.span)
        if trace is not None:
            sums |= router_loss_sums(trace.routing, real_rows(model, batch, len(trace.routing)), routed_tokens(batch))
        return {name: sums[name] for name in self.weights}


def causal_language_modelling(rows: int | None = None) -> LanguageModelling:
    """Next-token prediction; also the objective of instruction tuning, whose labels are masked by the data."""
    return LanguageModelling(rows=rows)


def causal(model: nn.Module) -> CausalLM:
    """The same model, seen as the protocol that objectives of language models need."""
    if not isinstance(model, CausalLM):
        raise TypeError(f"{type(model).__name__} is not a CausalLM")
    return model


def class_loss_sum(model: nn.Module, hidden: Tensor, batch: LabelledBatch, *, span: bool) -> Tensor:
    """Sum of -ln P(target) over the classes, or over the positions of a row for the ends of a span
    (Devlin et al. 2019, sections 3.1 and 4.2)."""
    if not isinstance(model, Classifier) or batch.targets is None:
        raise TypeError("expected a model that classifies and a batch with targets")
    logits = model.classify(hidden, batch.lengths).float()
    if span:
        outside = ~real_mask(batch.ids, batch.lengths)
        logits = logits.masked_fill(outside[..., None], -torch.inf).transpose(1, 2)  # (B, 2, T)
    return F.cross_entropy(logits.flatten(0, -2), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")


def router_loss_sums(routing: Sequence[Routing], real: Sequence[Tensor], tokens: float) -> dict[str, Tensor]:
    """Both losses of all layers with experts, each times the batch's routed tokens; `real` (N,) a layer."""
    if not routing:
        raise TypeError("expected a model with experts")
    layers = list(zip(routing, real, strict=True))
    balance = torch.stack([load_balancing_loss(*layer, mask) for layer, mask in layers]).sum()
    z = torch.stack([router_z_loss(layer.logits, mask) for layer, mask in layers]).sum()
    return {"balance": balance * tokens, "router_z": z * tokens}


def real_rows(model: nn.Module, batch: LabelledBatch, layers: int) -> list[Tensor]:
    """(N,) True on the routed tokens of each of so many layers with experts, an encoder's first."""
    own = _routed(batch, batch.ids, batch.lengths).flatten()
    if batch.source is None or not isinstance(model, EncoderDecoder):
        return [own] * layers
    encoder = model.config.encoder
    first = 0 if encoder.feed_forward.experts is None else encoder.layers
    return [_routed(batch, batch.source, batch.source_lengths).flatten()] * first + [own] * (layers - first)


def routed_tokens(batch: LabelledBatch) -> float:
    """Tokens over which experts are balanced."""
    own = int(_routed(batch, batch.ids, batch.lengths).sum())
    read = 0 if batch.source is None else int(_routed(batch, batch.source, batch.source_lengths).sum())
    return float(own + read)


def _routed(batch: LabelledBatch, ids: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, T) True on real tokens of rows that anything is asked of."""
    return real_mask(ids, lengths) & batch.asked[:, None]
