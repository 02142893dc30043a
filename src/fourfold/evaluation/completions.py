"""The way of asking by continuing a text: greedy, or several attempts drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fourfold.errors import UserError
from fourfold.evaluation.choices import Completing, is_able
from fourfold.evaluation.task import Answered, Item, Metric, Way
from fourfold.evaluation.wording import Shots, Wording, no_shots
from fourfold.inference import Sampling

Judge = Callable[[Item, Sequence[str]], Answered]
"""An item and what was written for it, one text an attempt, to its scores."""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How texts are continued."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these; a model of ours stops at once, which is most of the speed."""
    count: int = 1
    temperature: float = 0.0
    top_p: float | None = None

    def sampling(self, attempt: int) -> Sampling:
        """Attempt n is drawn with seed n: the same items have the same attempts in every run."""
        return Sampling(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=self.stop,
            seed=attempt,
        )


def completion_way(
    wording: Wording, shots: Shots = no_shots, *, judge: Judge, metrics: tuple[Metric, ...], attempts: Attempts
) -> Way:
    """Let the model continue each text `attempts.count` times and judge what it wrote."""

    def answer(model: object, label: str, items: Sequence[Item]) -> list[Answered]:
        if not isinstance(model, Completing) or not is_able(model, "generate"):
            raise UserError(f"'{label}' does not continue texts", advice="Take a task that is asked in a chat.")
        prompts = [wording.prompt(item, shots(item)) for item in items]
        rounds = [model.generate(prompts, attempts.sampling(number)) for number in range(attempts.count)]
        written = [[one.text for one in texts] for texts in zip(*rounds, strict=True)]
        return [judge(item, texts) for item, texts in zip(items, written, strict=True)]

    return Way(metrics=metrics, answer=answer)


def single(judge: Callable[[Item, str], dict[str, float]]) -> Judge:
    """A judge of one attempt that gives scores alone."""

    def judged(item: Item, texts: Sequence[str]) -> Answered:
        (text,) = texts
        return Answered(text.strip(), judge(item, text), {})

    return judged


def drawn(attempts: Attempts, count: int, temperature: float, top_p: float | None) -> Attempts:
    """The same, several times and at random."""
    return replace(attempts, count=count, temperature=temperature, top_p=top_p)
