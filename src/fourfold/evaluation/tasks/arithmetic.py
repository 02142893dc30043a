"""Arithmetic problems that a small model cannot work out by itself but can with a calculator."""

from __future__ import annotations

from fourfold.adaptation.instruction import calculator_problems
from fourfold.evaluation.task import Item, Metric, Task
from fourfold.measures import numeric_equal
from fourfold.utilization import Conversation, Demonstration, calculator, is_well_formed_call

DEFAULT_ITEMS = 64

DEMONSTRATIONS = (
    Demonstration(
        question="What is 12 + 30?", answer="42", reasoning="12 and 30 are 1 ten and 3 tens with 2 left, so 42."
    ),
    Demonstration(
        question="What is 25 * 14?", answer="350", reasoning="25 * 10 is 250 and 25 * 4 is 100, and 250 + 100 is 350."
    ),
    Demonstration(question="What is 90 - 37?", answer="53", reasoning="90 - 30 is 60, and 60 - 7 is 53."),
)
TOOL_DEMONSTRATIONS = (
    Demonstration(question="What is 12 + 30?", answer="CALC(12+30)"),
    Demonstration(question="What is 25 * 14?", answer="CALC(25*14)"),
    Demonstration(question="What is 90 - 37?", answer="CALC(90-37)"),
)
"""Demonstrations are fixed, and none is a problem of the task."""


def arithmetic_task(name: str = "arithmetic", phrasings: str = "seen", language: str = "en") -> Task:
    """Held-out problems, in the phrasings of the training data or in others ("unseen"), in "en", "zh" or "both".

    `accuracy`: the last number of the answer, after a tool was carried out where the solver
    has one, is the result. `call`: the answer called the calculator in good form.
    """

    def items(seed: int, limit: int | None) -> list[Item]:
        problems = calculator_problems(limit or DEFAULT_ITEMS, seed, phrasings, language=language)
        return [
            Item(id=str(number), prompt=problem.question, target=str(problem.answer))
            for number, problem in enumerate(problems)
        ]

    return Task(
        name=name,
        items=items,
        metrics=(Metric(name="accuracy"), Metric(name="call")),
        score=_score,
        solvers=("zero_shot", "few_shot", "chain_of_thought", "few_shot_chain_of_thought", "self_consistency"),
        tools=True,
        demonstrations=DEMONSTRATIONS,
        tool_demonstrations=TOOL_DEMONSTRATIONS,
        max_tokens=48,
    )


def _score(item: Item, conversation: Conversation) -> dict[str, float]:
    written = str(conversation.meta.get("before_tools", conversation.output))
    return {
        "accuracy": float(numeric_equal(conversation.output, item.target)),
        "call": float(is_well_formed_call(written, [calculator()])),
    }
