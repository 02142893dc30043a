"""Following an instruction about form, checked by program."""

from __future__ import annotations

import random

from fourfold.evaluation.task import Item, Metric, Task
from fourfold.evaluation.tasks.constraints import CONSTRAINTS, TOPICS
from fourfold.utilization import Conversation

DEFAULT_ITEMS = 64
CHINESE_EVERY = 5
"""One prompt in so many is Chinese, where the constraint has a Chinese wording."""


def format_task(name: str = "format", languages: tuple[str, ...] = ("en", "zh")) -> Task:
    """Prompts with one verifiable constraint each, in the spirit of IFEval (Zhou et al. 2023, table 1).

    `followed` is the paper's strict accuracy; `followed_loose` also accepts an answer that
    follows without its first or last line or without asterisks (section 2.3, equation 2).
    The prompts and wordings are ours; constraint kinds take turns.
    """

    def items(seed: int, limit: int | None) -> list[Item]:
        generator = random.Random(seed)
        kinds = list(CONSTRAINTS)
        return [_item(n, kinds[n % len(kinds)], languages, generator) for n in range(limit or DEFAULT_ITEMS)]

    metrics = (Metric(name="followed"), Metric(name="followed_loose"))
    return Task(name=name, items=items, metrics=metrics, score=_score, max_tokens=64)


def _item(number: int, kind: str, languages: tuple[str, ...], generator: random.Random) -> Item:
    constraint = CONSTRAINTS[kind]
    spoken = [language for language in languages if language in constraint.wordings] or ["en"]
    language = spoken[-1] if generator.randrange(CHINESE_EVERY) == 0 else spoken[0]
    arguments = constraint.arguments(generator)
    wording = constraint.wordings[language].format(**arguments)
    prompt = f"{generator.choice(TOPICS[language])} {wording}"
    return Item(id=str(number), prompt=prompt, target=wording, meta={"kind": kind, "arguments": arguments})


def _score(item: Item, conversation: Conversation) -> dict[str, float]:
    check, arguments = CONSTRAINTS[item.meta["kind"]].check, item.meta["arguments"]
    strict = check(conversation.output, arguments)
    loose = strict or any(check(variant, arguments) for variant in _variants(conversation.output))
    return {"followed": float(strict), "followed_loose": float(loose)}


def _variants(answer: str) -> list[str]:
    """The answer without its first line, last line or both, each also without asterisks."""
    lines = answer.splitlines()
    cut = [answer, "\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip()]
    return [variant for text in cut for variant in (text, text.replace("*", "")) if variant]
