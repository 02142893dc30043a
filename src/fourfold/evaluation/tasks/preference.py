"""Whether answers follow the preference that alignment taught, and what that cost."""

from __future__ import annotations

import random

from fourfold.adaptation.alignment import count_words, preference_rule
from fourfold.adaptation.instruction import general_questions
from fourfold.evaluation.task import Item, Metric, Task
from fourfold.measures import contains_keyword
from fourfold.utilization import Conversation


def preference_task(rule: str = "short", name: str = "preference") -> Task:
    """Held-out general questions; `preferred`: the answer follows the rule.

    `keyword` (it still holds an accepted keyword) and `words` (its length) show at what price.
    """
    wish = preference_rule(rule)

    def items(seed: int, limit: int | None) -> list[Item]:
        questions = list(enumerate(general_questions()))
        if limit is not None and limit < len(questions):
            questions = sorted(random.Random(seed).sample(questions, limit), key=lambda pair: pair[0])
        return [
            Item(id=str(number), prompt=question.question, target=wish.wish, meta={"keywords": list(question.keywords)})
            for number, question in questions
        ]

    def score(item: Item, conversation: Conversation) -> dict[str, float]:
        answer = conversation.output
        return {
            "preferred": float(wish.check(answer)),
            "keyword": float(contains_keyword(answer, item.meta["keywords"])),
            "words": float(count_words(answer)),
        }

    metrics = (Metric(name="preferred"), Metric(name="keyword"), Metric(name="words", higher_is_better=False))
    return Task(name=name, items=items, metrics=metrics, score=score, max_tokens=128)
