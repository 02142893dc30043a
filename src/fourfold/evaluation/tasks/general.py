"""What a model still answers after it was tuned for something else (catastrophic forgetting)."""

from __future__ import annotations

import random
import re

from fourfold.adaptation.instruction import general_questions
from fourfold.evaluation.task import Item, Metric, Task
from fourfold.measures import contains_keyword
from fourfold.utilization import Conversation

_CALL = re.compile(r"(?<![A-Za-z0-9_])CALC\(")


def general_task(name: str = "general") -> Task:
    """Everyday questions checked by rule.

    `retained`: the answer calls no tool and holds an accepted keyword. `false_call`: it calls
    the calculator where nothing is to be computed. `keyword`: it holds an accepted keyword,
    call or not.
    """

    def items(seed: int, limit: int | None) -> list[Item]:
        questions = list(enumerate(general_questions()))
        if limit is not None and limit < len(questions):
            questions = sorted(random.Random(seed).sample(questions, limit), key=lambda pair: pair[0])
        return [
            Item(
                id=str(number),
                prompt=question.question,
                target=question.keywords[0],
                meta={"keywords": list(question.keywords)},
            )
            for number, question in questions
        ]

    metrics = (Metric(name="retained"), Metric(name="false_call", higher_is_better=False), Metric(name="keyword"))
    return Task(name=name, items=items, metrics=metrics, score=_score, max_tokens=64)


def _score(item: Item, conversation: Conversation) -> dict[str, float]:
    called = bool(_CALL.search(conversation.output))
    keyword = contains_keyword(conversation.output, item.meta["keywords"])
    return {"retained": float(keyword and not called), "false_call": float(called), "keyword": float(keyword)}
