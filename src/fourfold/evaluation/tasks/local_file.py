"""A user's own questions from a JSONL file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.choices import likelihood_way
from fourfold.evaluation.task import LOG_LIKELIHOOD, Item, Metric, Task
from fourfold.evaluation.wording import choice_index
from fourfold.files import read_jsonl
from fourfold.measures import contains_keyword, exact_match, numbers_in, numeric_equal
from fourfold.utilization import Conversation

_LAYOUT = '{"question", "choices", "answer"} or {"question", "answer"}'


def file_task(path: str | Path) -> Task:
    """Multiple choice by log-likelihood, or exact match by generation, as the lines of the file say.

    With "choices", "answer" is an index from 0, a letter from A or the text of a choice;
    the context is "Question: …\\nAnswer:" as in lm-eval's ARC. Without, "answer" is the text
    or a list of accepted texts. A limit takes a sample drawn with the seed, in file order.
    """
    place = Path(path)
    items = [_item(value, f"{place}:{line}", line) for line, value in read_jsonl(place)]
    if not items:
        raise UserError("no questions in the file", where=place, expected=f"lines of {_LAYOUT}")
    with_choices = [item for item in items if item.choices]
    if with_choices and len(with_choices) != len(items):
        odd = next(item for item in items if not item.choices)
        raise UserError(
            "a question without choices among questions with choices",
            where=f"{place}:{odd.id}",
            advice="Put the two kinds into two files.",
        )

    def sample(seed: int, limit: int | None) -> list[Item]:
        if limit is None or limit >= len(items):
            return items
        return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]

    name = f"file:{place.name}"
    if with_choices:
        chance = sum(1 / len(item.choices) for item in items) / len(items)
        return Task(name=name, items=sample, ways={LOG_LIKELIHOOD: likelihood_way(chance=chance)})
    metrics = (Metric(name="exact_match"), Metric(name="contains"))
    return Task(
        name=name, items=sample, metrics=metrics, score=_score, solvers=("zero_shot", "chain_of_thought"), tools=True
    )


def _score(item: Item, conversation: Conversation) -> dict[str, float]:
    accepted: list[str] = list(item.meta["accepted"])
    answer = conversation.output
    numeric = [target for target in accepted if numbers_in(target) == [target.strip()]]
    right = exact_match(answer, accepted) or any(numeric_equal(answer, target) for target in numeric)
    return {"exact_match": float(right), "contains": float(right or contains_keyword(answer, accepted))}


def _item(value: Any, where: str, line: int) -> Item:
    if not isinstance(value, dict) or not isinstance(value.get("question"), str) or "answer" not in value:
        raise UserError("not a question", where=where, expected=_LAYOUT)
    question = value["question"].strip()
    if value.get("choices") is None:
        answer = value["answer"]
        accepted = [str(one) for one in answer] if isinstance(answer, list) else [str(answer)]
        if not accepted or not all(text.strip() for text in accepted):
            raise UserError("an empty answer", where=where)
        return Item(id=str(line), prompt=question, target=accepted[0], meta={"accepted": accepted})
    choices = value["choices"]
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise UserError("bad choices", where=where, expected="two or more texts", got=repr(choices)[:80])
    right = choice_index(value["answer"], choices, where)
    texts = tuple(f" {choice.strip()}" for choice in choices)
    return Item(
        id=str(line), prompt=f"Question: {question}\nAnswer:", target=texts[right].strip(), choices=texts, answer=right
    )
