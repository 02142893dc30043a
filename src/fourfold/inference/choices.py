"""What a request may ask for beyond a draw token by token: a form its answer must have, and other searches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, final, runtime_checkable

from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference.results import Sampling
    from fourfold.models import CausalLM

MOST_CHARACTERS = 64_000
"""Of a schema, an expression, a grammar, or all choices together."""
MOST_DEPTH = 32
"""Nested objects and lists of a schema."""

ConstraintKind = Literal["json_schema", "regex", "choice", "grammar"]


@final
@dataclass(frozen=True, kw_only=True)
class Constraint:
    """The form an answer must have. Made by one of the four functions below, which check it."""

    kind: ConstraintKind
    text: str
    """A schema or a list of choices as JSON, a regular expression, or a Lark grammar."""


def json_schema(schema: Mapping[str, Any] | str) -> Constraint:
    """An answer that is JSON and valid by the schema; `{"type": "object"}` allows any object."""
    try:
        value = json.loads(schema) if isinstance(schema, str) else dict(schema)
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError("not a JSON schema", got=error) from None
    if not isinstance(value, dict | bool):
        raise UserError("not a JSON schema", expected="an object", got=type(value).__name__)
    if _depth(value) > MOST_DEPTH:
        raise UserError("the JSON schema is nested too deeply", expected=f"at most {MOST_DEPTH} levels")
    return _checked("json_schema", text)


def regex(expression: str) -> Constraint:
    """An answer that the regular expression matches from its first character to its last."""
    return _checked("regex", expression)


def choice(options: Sequence[str]) -> Constraint:
    """An answer that is one of these."""
    if not options or not all(isinstance(option, str) and option for option in options):
        raise UserError("choices have to be texts that are not empty", got=list(options)[:3])
    return _checked("choice", json.dumps(list(options), ensure_ascii=False))


def grammar(text: str) -> Constraint:
    """An answer that the context-free grammar derives from `start`; written as for Lark."""
    return _checked("grammar", text)


def _checked(kind: ConstraintKind, text: str) -> Constraint:
    if not text or len(text) > MOST_CHARACTERS:
        raise UserError(
            f"the {kind} is empty or too long", expected=f"1 to {MOST_CHARACTERS} characters", got=len(text)
        )
    return Constraint(kind=kind, text=text)


def _depth(value: object) -> int:
    """Levels of nesting, counted without recursion so that a bomb cannot overflow the stack."""
    depth, level = 0, [value]
    while level and depth <= MOST_DEPTH + 1:
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [part for parts in inner for part in parts]
        depth += bool(inner)
        if not inner:
            break
    return depth


@final
@dataclass(frozen=True, kw_only=True)
class Beam:
    """Beam search: the most probable of the answers that `size` hypotheses side by side lead to."""

    size: int = 4
    length_penalty: float = 1.0
    """A finished answer counts log-probability / tokens ** this; above 0 favours long answers (Wu et al. 2016)."""
    early: bool = False
    """End as soon as `size` answers are finished, and not only when no better one can come."""

    def check(self, sampling: Sampling) -> None:
        _within("beam size", self.size, 1, 64)
        _within("length penalty", self.length_penalty, -10, 10)
        _alone("beam search", sampling)


@final
@dataclass(frozen=True, kw_only=True)
class Contrastive:
    """Contrastive search (Su et al. 2022): probable, yet unlike what was said; among the `k` most probable tokens."""

    alpha: float = 0.6
    k: int = 4

    def check(self, sampling: Sampling) -> None:
        _within("contrastive alpha", self.alpha, 0, 1)
        _within("contrastive k", self.k, 1, 64)
        _alone("contrastive search", sampling)


@final
@dataclass(frozen=True, kw_only=True)
class BestOf:
    """Of `count` sampled answers, that whose tokens have the highest mean log-probability."""

    count: int = 4

    def check(self, sampling: Sampling) -> None:
        _within("best-of count", self.count, 2, 128)
        if sampling.n > self.count:
            raise UserError("fewer answers are sampled than wanted", expected=f"at most {self.count}", got=sampling.n)


@runtime_checkable
class Drafts(Protocol):
    """A language model that runs here."""

    @property
    def module(self) -> CausalLM: ...
    @property
    def tokenizer(self) -> Any: ...


@final
@dataclass(frozen=True, kw_only=True)
class Speculative:
    """Guess some tokens cheaply, check them in one call (Leviathan et al. 2023); the distribution stays the same.

    The guesses come from the small model `draft` (loaded, or its reference), or without one from what followed the same
    last words earlier in the prompt and answer.
    """

    draft: str | Drafts | None = None
    tokens: int = 8
    """Guessed at a time."""

    def check(self, sampling: Sampling) -> None:
        _within("guessed tokens", self.tokens, 1, 64)


Strategy = Beam | Contrastive | BestOf | Speculative


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} is out of range", expected=f"{low} to {high}", got=value)


def _alone(name: str, sampling: Sampling) -> None:
    """Searches that draw nothing refuse what only a draw can obey."""
    if sampling.constraint is not None or sampling.changes_logits or sampling.n > 1:
        raise UserError(f"{name} takes no constraint, penalty or bias and gives one answer", advice="Sample instead.")
