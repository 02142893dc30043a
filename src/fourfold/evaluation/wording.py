"""How an item becomes text: templates, demonstrations before it, the continuation that is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.task import Item

LETTER_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Shots = Callable[[Item], Sequence[Item]]
"""An item to the solved items shown before it."""


def no_shots(item: Item) -> Sequence[Item]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Templates in the manner of `str.format`.

    Their fields are `question`; `stripped`, the same without white space around it; `choice` and `letter` of the
    choice at hand; `options`, a line "A. …" a choice; and whatever the item's meta holds, such as `subject`.
    Together they read: head, then each demonstration and `between`, then text, then answer.
    """

    text: str = "{question}"
    answer: str = "{choice}"
    """What is scored after the text, or left to be generated."""
    head: str = ""
    """Said once, before the demonstrations."""
    between: str = "\n\n"

    def pair(self, item: Item, choice: int, shots: Sequence[Item] = ()) -> tuple[str, str]:
        """(what the model reads, the continuation) when the answer is `choice`."""
        fields = _fields(item, choice)
        shown = "".join(self._solved(shot) + self.between for shot in shots)
        return self.head.format(**fields) + shown + self.text.format(**fields), self.answer.format(**fields)

    def pairs(self, item: Item, shots: Sequence[Item] = ()) -> list[tuple[str, str]]:
        """One pair a choice."""
        return [self.pair(item, choice, shots) for choice in range(len(item.choices))]

    def scored(self, item: Item, choice: int) -> str:
        """What a likelihood per byte is of: the choice alone, or the whole answer where that does not hold the choice
        (two readings of one sentence, which are then equally long)."""
        return item.choices[choice] if "{choice}" in self.answer else self.pair(item, choice)[1]

    def prompt(self, item: Item, shots: Sequence[Item] = ()) -> str:
        """What the model reads, where that does not depend on the choice."""
        return self.pair(item, item.answer or 0, shots)[0]

    def _solved(self, item: Item) -> str:
        return "".join(self.pair(item, item.answer or 0))[len(self.head.format(**_fields(item, 0))) :]

    @property
    def templates(self) -> list[str]:
        """All that decides the text, for a record of it."""
        return [self.head, self.text, self.answer, self.between]


def _fields(item: Item, choice: int) -> dict[str, Any]:
    options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTER_NAMES, item.choices, strict=False))
    chosen = item.choices[choice] if item.choices else item.target
    return {
        **item.meta,
        "question": item.prompt,
        "stripped": item.prompt.strip(),
        "choice": chosen,
        "letter": LETTER_NAMES[choice],
        "options": options,
    }


def choice_index(answer: Any, choices: Sequence[str], where: str) -> int:
    """The position of the right choice, given as index, as text of a choice or as letter."""
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and len(answer.strip()) == 1 and answer.strip().upper() in LETTER_NAMES:
        answer = LETTER_NAMES.index(answer.strip().upper())
    if isinstance(answer, str) and answer.strip().isdecimal():
        answer = int(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    last = len(choices) - 1
    expected = f"an index from 0 to {last}, a letter from A to {LETTER_NAMES[last]} or a choice"
    raise UserError("the answer is none of the choices", where=where, expected=expected, got=repr(answer)[:80])
