"""Sums in words, and the calculator call that answers each: data that teaches a model to use a tool.

Training and evaluation share no expression: which side a pair of numbers falls on is a
hash of the expression. Phrasings are of two kinds, and only `SEEN` ones are trained on.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

from fourfold.errors import UserError
from fourfold.inference import Message

HELD_OUT = 4
"""One expression in so many belongs to evaluation."""

SEEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "*": (
            "What is {a} times {b}?",
            "Calculate {a} * {b}.",
            "Multiply {a} by {b}.",
            "How much is {a} x {b}?",
            "Please compute {a} × {b}.",
            "There are {a} boxes with {b} pencils each. How many pencils are there?",
            "We bought {a} tickets for {b} dollars each. How many dollars did we pay?",
            "A hall has {a} rows with {b} seats each. How many seats are there?",
        ),
        "+": (
            "What is {a} plus {b}?",
            "Calculate {a} + {b}.",
            "Add {a} and {b}.",
            "What is the sum of {a} and {b}?",
            "How much is {a} + {b}?",
            "A farm has {a} hens and gets {b} more. How many hens does it have now?",
            "Ann read {a} pages and then {b} more. How many pages did she read?",
        ),
        "-": (
            "What is {a} minus {b}?",
            "Calculate {a} - {b}.",
            "Take {b} away from {a}.",
            "Subtract {b} from {a}.",
            "How much is {a} - {b}?",
            "A shop had {a} apples and sold {b}. How many apples are left?",
            "A trip is {a} miles long and we drove {b}. How many miles are left?",
        ),
    },
    "zh": {
        "*": ("{a}乘以{b}等于多少？", "计算 {a} × {b}。", "有{a}个箱子，每箱{b}支铅笔，一共多少支？"),
        "+": ("{a}加{b}等于多少？", "计算 {a} + {b}。", "农场有{a}只鸡，又买了{b}只，现在一共多少只？"),
        "-": ("{a}减{b}等于多少？", "计算 {a} - {b}。", "店里有{a}个苹果，卖了{b}个，还剩多少个？"),
    },
}
UNSEEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "*": (
            "Could you find the product of {a} and {b} for me?",
            "I need to know {a} multiplied by {b}.",
            "A factory makes {a} toys a day. How many toys does it make in {b} days?",
        ),
        "+": (
            "Tell me the total of {a} and {b}.",
            "If I put {a} and {b} together, what do I get?",
            "{a} people came on Monday and {b} on Tuesday. How many came in all?",
        ),
        "-": (
            "Tell me the difference between {a} and {b}.",
            "If I start with {a} and remove {b}, what remains?",
            "Of {a} seats, {b} are taken. How many are free?",
        ),
    },
    "zh": {
        "*": ("请问{a}和{b}的积是多少？", "工厂每天做{a}个玩具，{b}天能做多少个？"),
        "+": ("请问{a}与{b}的和是多少？", "周一来了{a}人，周二来了{b}人，一共来了多少人？"),
        "-": ("请问{a}与{b}的差是多少？", "{a}个座位坐了{b}个人，还空多少个？"),
    },
}


@dataclass(frozen=True)
class Problem:
    """A question, the expression that solves it, and the number."""

    question: str
    expression: str
    answer: int

    @property
    def call(self) -> str:
        """What a taught model answers."""
        return f"CALC({self.expression})"


def calculator_problems(count: int, seed: int = 0, phrasings: str = "seen", *, language: str = "en") -> list[Problem]:
    """Different problems for evaluation: their expressions never occur in `calculator_conversations`."""
    return _problems(count, seed, phrasings, language, held_out=True)


def calculator_conversations(
    count: int, seed: int = 0, phrasings: str = "seen", *, language: str = "en", system: str | None = None
) -> list[list[Message]]:
    """Conversations that teach the call: a question, and `CALC(333*291)` as the whole answer."""
    before: list[Message] = [{"role": "system", "content": system}] if system else []
    return [
        [*before, {"role": "user", "content": problem.question}, {"role": "assistant", "content": problem.call}]
        for problem in _problems(count, seed, phrasings, language, held_out=False)
    ]


def is_held_out(a: int, operator: str, b: int) -> bool:
    """Whether the expression belongs to evaluation, in either order of its numbers."""
    key = f"{min(a, b)}{operator}{max(a, b)}"
    return hashlib.blake2b(key.encode(), digest_size=4).digest()[0] % HELD_OUT == 0


def _problems(count: int, seed: int, phrasings: str, language: str, *, held_out: bool) -> list[Problem]:
    if phrasings not in ("seen", "unseen") or language not in ("en", "zh", "both"):
        raise UserError(
            "unknown kind of problem", expected="seen or unseen, in en, zh or both", got=f"{phrasings}, {language}"
        )
    table = SEEN if phrasings == "seen" else UNSEEN
    languages = ["en", "zh"] if language == "both" else [language]
    templates = [
        (operator, template)
        for each in languages
        for operator, group in table[each].items()
        for template in group
    ]  # fmt: skip
    generator = random.Random(f"{seed}/{phrasings}/{held_out}")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        operator, template = templates[len(problems) % len(templates)]
        a, b = _numbers(operator, generator)
        if is_held_out(a, operator, b) == held_out:
            answer = {"*": a * b, "+": a + b, "-": a - b}[operator]
            problem = Problem(template.format(a=a, b=b), f"{a}{operator}{b}", answer)
            problems.setdefault(problem.expression, problem)
    return generator.sample(list(problems.values()), count)


def _numbers(operator: str, generator: random.Random) -> tuple[int, int]:
    """Two numbers of 2 to 4 digits; the digits of each are drawn first, so that no length is rare."""
    a, b = (generator.randrange(10 ** (digits - 1), 10**digits) for digits in generator.choices((2, 3, 4), k=2))
    return (b, a) if operator == "-" and a < b else (a, b)
