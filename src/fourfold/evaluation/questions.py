"""Questions of one's own to a folder of documents: the file they are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import read_jsonl
from fourfold.utilization.answering import find_quote
from fourfold.utilization.retrieval import Passage

_LAYOUT = '{"question", "answer", "source", "quote"}; answer null where the documents hold none'


@dataclass(frozen=True, kw_only=True)
class Question:
    """One line of a file of questions."""

    id: str
    """Its line number."""
    question: str
    answers: tuple[str, ...] = ()
    """Accepted ones; empty: none is known."""
    source: str | None = None
    """The file that answers, as citations name it."""
    quote: str | None = None
    """Words of the passage that answers: a passage of the right file without them does not count as found."""
    answerable: bool = True

    def is_found_in(self, passage: Passage) -> bool:
        """Whether this passage is what the question looks for."""
        if self.source is not None and passage.source != self.source:
            return False
        return self.quote is None or find_quote(self.quote, passage.text) is not None

    @property
    def has_place(self) -> bool:
        """Whether it is known where the answer stands."""
        return self.answerable and (self.source is not None or self.quote is not None)


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSONL file; a bad line is a UserError that names it.

    "answer" is a text or a list of accepted texts; null says that the documents hold no answer; without the key
    only retrieval is scored. "source" and "quote" say where the answer stands; both may be absent. Other keys
    are the user's own.
    """
    found = [_question(value, f"{path}:{line}", str(line)) for line, value in read_jsonl(path)]
    if not found:
        raise UserError("no questions in the file", where=path, expected=f"lines of {_LAYOUT}")
    return found


def _question(value: Any, where: str, id: str) -> Question:
    if not isinstance(value, dict) or not isinstance(value.get("question"), str) or not value["question"].strip():
        raise UserError("not a question", where=where, expected=_LAYOUT)
    answer = value.get("answer")
    answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
    texts = {name: value.get(name) for name in ("source", "quote")}
    if not all(isinstance(one, str | int | float) and str(one).strip() for one in answers) or not all(
        text is None or isinstance(text, str) for text in texts.values()
    ):
        raise UserError("a question with a bad answer, source or quote", where=where, expected=_LAYOUT)
    return Question(
        id=id,
        question=value["question"].strip(),
        answers=tuple(str(one).strip() for one in answers),
        source=texts["source"] or None,
        quote=(texts["quote"] or "").strip() or None,
        answerable="answer" not in value or bool(answers),
    )
