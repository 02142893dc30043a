"""Our answers beside lm-eval's, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lm_eval_oracle import Asked, Data

from fourfold.evaluation import ask, benchmark_task
from fourfold.inference import Continuation, ScoringModel

METRICS = {"accuracy_raw": "acc", "accuracy": "acc_bytes", "true_share": "acc"}
"""Our metric to lm-eval's; letters and last words have one accuracy, theirs is called acc."""


class Recorder:
    """A model that keeps what it was asked."""

    def __init__(self, model: ScoringModel) -> None:
        self.model, self.name = model, model.name
        self.order: list[tuple[str, str]] = []

    def score(self, texts):  # type: ignore[no-untyped-def]
        raise AssertionError("not asked for")

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        found = self.model.log_likelihood(pairs)
        self.order += pairs
        return found


class Agreement(NamedTuple):
    """How far two evaluations of the same items agree."""

    task: str
    items: int
    other_texts: int
    """Requests whose context or continuation is not the peer's, to the letter."""
    largest: float
    """Largest difference of two log-likelihoods, in nats."""
    other_scores: int
    """Items judged differently by a metric both have."""
    accuracy: float
    peer: float


def compare(model: ScoringModel, data: Data, theirs: Sequence[Asked], shots: int) -> Agreement:
    """The items of `data` asked by us, beside what lm-eval made of them."""
    name, _, how = data.name.partition(" by ")
    recorder = Recorder(model)
    task = benchmark_task(f"{name}@{data.asked}", shots=shots, shots_from=str(data.shots_from) if shots else None)
    answered = ask(recorder, task, "log_likelihood" if how else None)
    assert len(answered) == len(theirs), f"{data.task}: {len(answered)} items, lm-eval has {len(theirs)}"
    texts = iter(recorder.order)
    other_texts = other_scores = 0
    largest = 0.0
    first, peer = [], []
    alone = "accuracy_raw" not in answered[0].scores
    for mine, his in zip(answered, theirs, strict=True):
        other_texts += sum(next(texts) != pair for pair in his.pairs)
        found = mine.meta.get("log_likelihoods", [-mine.scores.get("perplexity", 0.0)])
        largest = max(largest, *(abs(a - b) for a, b in zip(found, his.log_likelihoods, strict=True)))
        named = {METRICS.get(name, name): value for name, value in mine.scores.items()}
        if alone and "accuracy" in mine.scores:
            named = {"acc": mine.scores["accuracy"]}
        both = [(named[name], value) for name, value in his.scores.items() if name in named]
        other_scores += any(abs(a - b) > 1e-3 for a, b in both)
        first.append(both[0][0])
        peer.append(both[0][1])
    mean, other = sum(first) / len(first), sum(peer) / len(peer)
    return Agreement(data.task, len(theirs), other_texts, largest, other_scores, mean, other)
