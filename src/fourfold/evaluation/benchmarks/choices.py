"""The build of benchmarks with choices: one data set, four ways to ask it."""

from __future__ import annotations

import random
from collections.abc import Callable

from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data
from fourfold.evaluation.choices import letter_chat_way, letter_generation_way, letters_way, likelihood_way
from fourfold.evaluation.task import LETTER_CHAT, LETTER_GENERATION, LETTERS, LOG_LIKELIHOOD, Item, Task, Way
from fourfold.evaluation.wording import Shots, Wording

QUESTION = Wording(text="Question: {question}\nAnswer:", answer=" {choice}")
"""ARC's wording in lm-eval, and most others'."""
WITH_LETTERS = Wording(text="{stripped}\n{options}\nAnswer:", answer=" {letter}")
"""MMLU's (Hendrycks et al. 2021, figure 1)."""
WITH_LETTERS_ZH = Wording(text="{stripped}\n{options}\n答案：", answer=" {letter}")
REQUESTS = {"en": "\n\nAnswer with the letter of the right choice only.", "zh": "\n\n只回答正确选项的字母。"}


def choices(
    text: Wording = QUESTION,
    letters: Wording | None = None,
    *,
    own: str = LOG_LIKELIHOOD,
    first: str = "accuracy",
    alone: bool = False,
) -> Callable[[Benchmark, Data], Task]:
    """A build with `text` for the choices' likelihood and `letters` for the ways that show them.

    `own` is the way the benchmark is asked when none is named, `first` the metric of likelihood that leads.
    `alone`: by likelihood only, where the right choice is always in the same place, so that its letter would tell it.
    """

    def build(benchmark: Benchmark, data: Data) -> Task:
        shown = letters or (WITH_LETTERS_ZH if benchmark.language == "zh" else WITH_LETTERS)
        chance = sum(1 / len(item.choices) for item in data.items) / len(data.items)
        request = REQUESTS[benchmark.language]
        by_likelihood = {LOG_LIKELIHOOD: likelihood_way(text, data.shots, chance=chance, first=first)}
        if alone:
            return task_of(benchmark, data, by_likelihood, {LOG_LIKELIHOOD: text.templates})
        ways = {
            **by_likelihood,
            LETTERS: letters_way(shown, data.shots, chance=chance),
            LETTER_GENERATION: letter_generation_way(shown, data.shots, chance=chance),
            LETTER_CHAT: letter_chat_way(shown, data.shots, chance=chance, request=request),
        }
        wordings = {LOG_LIKELIHOOD: text.templates, LETTERS: shown.templates}
        return task_of(benchmark, data, {own: ways[own], **ways}, wordings)

    return build


def one_way(
    make: Callable[[Wording, Shots], Way], wording: Wording, own: str = LOG_LIKELIHOOD
) -> Callable[[Benchmark, Data], Task]:
    """A build for benchmarks that can be asked in one way only."""

    def build(benchmark: Benchmark, data: Data) -> Task:
        return task_of(benchmark, data, {own: make(wording, data.shots)}, {own: wording.templates})

    return build


def task_of(benchmark: Benchmark, data: Data, ways: dict[str, Way], wordings: dict[str, list[str]]) -> Task:
    """The task of a benchmark; a limit takes a sample drawn with the seed, in the order of the files."""

    def sample(seed: int, limit: int | None) -> list[Item]:
        items = list(data.items)
        if limit is None or limit >= len(items):
            return items
        return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]

    shown = {subject: [item.hash for item in items] for subject, items in data.demonstrations.items()}
    setting = {**data.setting, "wording": wordings} | ({"demonstrations": shown} if shown else {})
    return Task(name=benchmark.name, items=sample, ways=ways, version=benchmark.version, setting=setting)
