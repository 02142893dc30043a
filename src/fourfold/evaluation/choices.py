"""Ways to answer questions with choices: likelihood of the choice, probability of its letter, the letter generated."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from fourfold.errors import UserError
from fourfold.evaluation.task import Answered, Item, Metric, Way
from fourfold.evaluation.wording import LETTER_NAMES, Shots, Wording, no_shots
from fourfold.inference import ChatModel, Continuation, Generation, Message, Sampling, ScoringModel

BY_LIKELIHOOD = {
    "accuracy": "log-likelihood per byte",
    "accuracy_raw": "log-likelihood, raw",
    "accuracy_token": "log-likelihood per token",
}
"""Metric name to how the choice is made. Per byte: of the choice in UTF-8 (lm-eval's acc_bytes; its acc_norm
counts characters, which is the same in ASCII)."""

LETTER_TOKENS, CHAT_TOKENS = 6, 32
"""Room for a letter after "Answer:", and for one in a sentence."""

_LETTER = re.compile(r"(?<![A-Za-z])\(?([A-Z])\)?(?![A-Za-z'’])")


@runtime_checkable
class Capable(Protocol):
    """A model that says what it can do."""

    @property
    def capabilities(self) -> frozenset[str]: ...


@runtime_checkable
class Completing(Protocol):
    """A model that continues texts."""

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]: ...


def likelihood_way(
    wording: Wording | None = None, shots: Shots = no_shots, *, chance: float, first: str = "accuracy"
) -> Way:
    """Score each choice after the question and take the most likely, counted in three ways; `first` leads."""
    wording = wording or Wording()
    names = sorted(BY_LIKELIHOOD, key=lambda name: name != first)

    def judge(item: Item, found: Sequence[Continuation]) -> Answered:
        raw = [one.log_prob for one in found]
        per_byte = [value / len(wording.scored(item, choice).encode()) for choice, value in enumerate(raw)]
        per_token = [one.log_prob / one.tokens for one in found]
        values = {"accuracy": per_byte, "accuracy_raw": raw, "accuracy_token": per_token}
        chosen = {name: values[name].index(max(values[name])) for name in names}
        scores = {name: float(index == item.answer) for name, index in chosen.items()}
        return Answered(item.choices[chosen[first]], scores, {"log_likelihoods": raw, "per_byte": per_byte})

    metrics = tuple(Metric(name=name, chance=chance, method=BY_LIKELIHOOD[name]) for name in names)
    return Way(metrics=metrics, answer=_by_likelihood(wording, shots, judge))


def letters_way(wording: Wording, shots: Shots = no_shots, *, chance: float) -> Way:
    """Show the choices with letters and take the most probable letter."""

    def judge(item: Item, found: Sequence[Continuation]) -> Answered:
        raw = [one.log_prob for one in found]
        chosen = raw.index(max(raw))
        scores = {"accuracy": float(chosen == item.answer)}
        return Answered(LETTER_NAMES[chosen], scores, {"log_likelihoods": raw})

    metrics = (Metric(name="accuracy", chance=chance, method="label probability"),)
    return Way(metrics=metrics, answer=_by_likelihood(wording, shots, judge))


def last_word_way(wording: Wording, shots: Shots = no_shots) -> Way:
    """One continuation an item: is it what the model would say, and how well did it expect it."""

    def judge(item: Item, found: Sequence[Continuation]) -> Answered:
        (one,) = found
        return Answered(
            item.choices[0], {"accuracy": float(one.is_greedy), "perplexity": -one.log_prob}, {"tokens": one.tokens}
        )

    accuracy = Metric(name="accuracy", method="most probable token at every step")
    perplexity = Metric(
        name="perplexity", higher_is_better=False, method="log-likelihood, a continuation", of_mean=math.exp
    )
    return Way(metrics=(accuracy, perplexity), answer=_by_likelihood(wording, shots, judge))


def text_way(wording: Wording, shots: Shots = no_shots) -> Way:
    """Pieces of text, each after what stood before it: bits a byte and a character.

    The mean is over pieces, which should be of about one size.
    """

    def judge(item: Item, found: Sequence[Continuation]) -> Answered:
        (one,) = found
        bits, text = -one.log_prob / math.log(2), item.choices[0]
        per = {"bits_per_byte": bits / len(text.encode()), "bits_per_character": bits / len(text)}
        return Answered("", per | {"perplexity": -one.log_prob / one.tokens}, {"tokens": one.tokens})

    method = "log-likelihood of each block after the one before"
    bits = [Metric(name=f"bits_per_{unit}", higher_is_better=False, method=method) for unit in ("byte", "character")]
    perplexity = Metric(name="perplexity", higher_is_better=False, method=f"{method}, a token", of_mean=math.exp)
    return Way(metrics=(*bits, perplexity), answer=_by_likelihood(wording, shots, judge))


def true_share_way(wording: Wording, shots: Shots = no_shots) -> Way:
    """The share of the choices' probability that falls on true ones (`meta["true"]`, a flag each)."""

    def judge(item: Item, found: Sequence[Continuation]) -> Answered:
        raw = [one.log_prob for one in found]
        weights = [math.exp(value - max(raw)) for value in raw]
        share = sum(w for w, true in zip(weights, item.meta["true"], strict=True) if true) / sum(weights)
        return Answered(item.choices[raw.index(max(raw))], {"true_share": share}, {"log_likelihoods": raw})

    metrics = (Metric(name="true_share", method="probability of the true choices"),)
    return Way(metrics=metrics, answer=_by_likelihood(wording, shots, judge))


def letter_generation_way(wording: Wording, shots: Shots = no_shots, *, chance: float) -> Way:
    """The text of `letters_way`, but the letter is generated, greedily, and read from what is written."""

    def answer(model: object, label: str, items: Sequence[Item]) -> list[Answered]:
        prompts = [wording.prompt(item, shots(item)) for item in items]
        if not isinstance(model, Completing) or not is_able(model, "generate"):
            raise UserError(f"'{label}' does not continue texts", advice="Ask it in a chat: --method letter_chat.")
        written = model.generate(prompts, Sampling(temperature=0, max_tokens=LETTER_TOKENS, stop=["\n"]))
        return [_letter(item, one.text) for item, one in zip(items, written, strict=True)]

    return Way(metrics=_letter_metrics(chance, "generation of the letter"), answer=answer)


def letter_chat_way(wording: Wording, shots: Shots = no_shots, *, chance: float, request: str) -> Way:
    """The same question as a user's turn, after demonstrations as turns; `request` asks for the letter alone."""

    bare = replace(wording, head="")

    def answer(model: object, label: str, items: Sequence[Item]) -> list[Answered]:
        if not isinstance(model, ChatModel) or not is_able(model, "chat"):
            raise UserError(f"'{label}' cannot chat", advice="Let it continue the text: --method letter_generation.")
        conversations: list[list[Message]] = []
        for item in items:
            turns: list[Message] = []
            for shot in shots(item):
                text, letter = bare.pair(shot, shot.answer or 0)
                turns += [{"role": "user", "content": text + request}, {"role": "assistant", "content": letter.strip()}]
            conversations.append([*turns, {"role": "user", "content": bare.prompt(item) + request}])
        written = model.chat_batch(conversations, Sampling(temperature=0, max_tokens=CHAT_TOKENS))
        return [_letter(item, one.text) for item, one in zip(items, written, strict=True)]

    return Way(metrics=_letter_metrics(chance, "generation of the letter in a chat"), answer=answer)


def _letter_metrics(chance: float, method: str) -> tuple[Metric, ...]:
    return (Metric(name="accuracy", chance=chance, method=method), Metric(name="letter_found", method=method))


def _letter(item: Item, written: str) -> Answered:
    """The first letter of a choice that stands alone in the answer."""
    known = LETTER_NAMES[: len(item.choices)]
    found = next((match[1] for match in _LETTER.finditer(written) if match[1] in known), None)
    right = found is not None and known.index(found) == item.answer
    return Answered(written.strip(), {"accuracy": float(right), "letter_found": float(found is not None)}, {})


def _by_likelihood(
    wording: Wording, shots: Shots, judge: Callable[[Item, Sequence[Continuation]], Answered]
) -> Callable[[object, str, Sequence[Item]], list[Answered]]:
    def answer(model: object, label: str, items: Sequence[Item]) -> list[Answered]:
        if not isinstance(model, ScoringModel) or not is_able(model, "log_likelihood"):
            raise UserError(
                f"'{label}' gives no log-probabilities of a text",
                advice="Use tasks answered by generation (arithmetic, general, format), --method letter_chat for a"
                " benchmark with choices, or load the model from its files.",
            )
        asked = [wording.pairs(item, shots(item)) for item in items]
        found = iter(model.log_likelihood([pair for pairs in asked for pair in pairs]))
        return [judge(item, [next(found) for _ in pairs]) for item, pairs in zip(items, asked, strict=True)]

    return answer


def is_able(model: object, what: str) -> bool:
    """Whether a model can `what`; one that does not say is taken to."""
    return not isinstance(model, Capable) or what in model.capabilities
