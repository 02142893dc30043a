"""Which of four continuations is the true one? Multiple choice made from any held-out text.

In the spirit of LAMBADA and HellaSwag, without their data: the wrong continuations are true
continuations of other places of the same text, so style gives nothing away.
"""

from __future__ import annotations

import random

from fourfold.errors import UserError
from fourfold.evaluation.choices import likelihood_way
from fourfold.evaluation.task import LOG_LIKELIHOOD, Item, Task

PASSAGE, CONTINUATION, CHOICES = 200, 80, 4
"""Characters of the passage and of each continuation at most, and how many continuations."""
LOOK_AHEAD = 40
"""Characters within which a cut waits for a space."""
ROOM = PASSAGE + LOOK_AHEAD + CONTINUATION
DEFAULT_ITEMS = 100
ATTEMPTS = 50


class TooLittleText(UserError):
    """The held-out text is too short for the task."""


def continuation_task(text: str, name: str = "continuation") -> Task:
    """The task over a held-out text; chance is one in four. No two items share a passage."""
    if len(text) < 4 * CHOICES * ROOM:
        raise TooLittleText(
            "the held-out text is too short for continuations",
            expected=f"{4 * CHOICES * ROOM} characters or more",
            got=len(text),
            advice="Hold out more text, or leave the task 'continuation' out.",
        )

    def items(seed: int, limit: int | None) -> list[Item]:
        generator = random.Random(seed)
        slots = list(range(len(text) // ROOM))
        generator.shuffle(slots)
        made: list[Item] = []
        for slot in slots:
            if len(made) < (limit or DEFAULT_ITEMS) and (item := _item(text, slot * ROOM, generator)):
                made.append(item)
        if not made:
            raise UserError("the held-out text repeats itself too much for continuations")
        return made

    return Task(name=name, items=items, ways={LOG_LIKELIHOOD: likelihood_way(chance=1 / CHOICES)})


def _item(text: str, place: int, generator: random.Random) -> Item | None:
    """The item whose passage begins at `place`; None where the text is blank or repeats itself."""
    middle = _boundary(text, place + PASSAGE)
    choices = [_piece(text, middle)]
    for _ in range(ATTEMPTS):
        other = generator.randrange(PASSAGE, len(text) - LOOK_AHEAD - CONTINUATION)
        piece = _piece(text, _boundary(text, other))
        if len(choices) < CHOICES and abs(other - place) > 2 * ROOM and piece.strip() and piece not in choices:
            choices.append(piece)
    true = choices[0]
    if len(choices) < CHOICES or not true.strip():
        return None
    generator.shuffle(choices)
    prompt = text[place:middle]
    return Item(id=str(place), prompt=prompt, target=true, choices=tuple(choices), answer=choices.index(true))


def _boundary(text: str, position: int) -> int:
    """The next space within reach, so that words stay whole; else the position itself (Han text)."""
    space = text.find(" ", position, position + LOOK_AHEAD)
    return position if space < 0 else space


def _piece(text: str, start: int) -> str:
    return text[start : _boundary(text, start + CONTINUATION - LOOK_AHEAD)]
