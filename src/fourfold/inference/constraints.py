"""Answers of a given form: what may follow, token by token, by llguidance (docs/decisions/026).

A grammar is read once a request; its state goes along with the answer, and back where the answer does.
Everything it may cost is bounded, so that a schema or expression made to blow up fails its own request alone.

Letters: V vocabulary size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference.choices import Constraint
from fourfold.tokenizers import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer
    from llguidance._lib import JsonCompileOptions

FUEL = 1_000_000
"""For reading a grammar; about 20 ms (llguidance's measure)."""
STEP_FUEL = 200_000
"""For one token; about 15 ms."""
MOST_SYMBOLS = 100_000
MOST_STATES = 20_000
"""Of the automaton; one or two kB each."""
JSON_FORM: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON on one line, as models mostly write it: white space that may go on for ever would let one do so."""

_known: WeakKeyDictionary[Tokenizer, dict[frozenset[int], LLTokenizer]] = WeakKeyDictionary()


def matcher_for(constraint: Constraint | None, tokenizer: object, stop_ids: frozenset[int]) -> GrammarMatcher | None:
    """What follows the constraint, if there is one. UserError where it cannot be read or costs too much."""
    if constraint is None:
        return None
    if not isinstance(tokenizer, Tokenizer):
        raise UserError(
            "answers of a given form need a tokenizer of bytes or pieces", advice="Models of whole words have none."
        )
    if not stop_ids:
        raise UserError("an answer of a given form needs a token that ends it, and this model has none")
    return GrammarMatcher(constraint, _vocabulary(tokenizer, stop_ids), stop_ids)


@final
class GrammarMatcher:
    """The state of one answer in its grammar; implements `sampling.Matcher`."""

    def __init__(self, constraint: Constraint, vocabulary: LLTokenizer, stop_ids: frozenset[int]) -> None:
        from llguidance import LLMatcher

        self.kind, self.stop_ids = constraint.kind, sorted(stop_ids)
        self.taken: list[int] = []
        self._matcher: LLMatcher = LLMatcher(vocabulary, _grammar(constraint), log_level=0, limits=_limits())
        if self._matcher.is_error():
            raise self._refused("cannot be used")

    def allowed(self, ids: Sequence[int], vocabulary_size: int) -> Tensor:
        """(V,) True on the tokens that may follow; where the form is complete, those that end the answer."""
        self._follow(list(ids))
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise self._refused("asks for too much")
        mask = np.zeros(vocabulary_size, bool)
        found = np.unpackbits(bits, bitorder="little")[:vocabulary_size]
        mask[: len(found)] = found
        mask[self.stop_ids] = self._matcher.is_accepting()
        return torch.from_numpy(mask)

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())

    def _follow(self, ids: list[int]) -> None:
        """Bring the state to an answer of these ids."""
        same = len(self.taken)
        if ids[:same] != self.taken:
            same = next((n for n, (a, b) in enumerate(zip(ids, self.taken, strict=False)) if a != b), len(ids))
            self._matcher.rollback(len(self.taken) - same)
            del self.taken[same:]
        if not self._matcher.consume_tokens(ids[same:]):
            raise self._refused("does not allow what was written")
        self.taken = ids

    def _refused(self, why: str) -> UserError:
        lines = str(self._matcher.get_error()).strip().splitlines()
        said = lines[0].rstrip(".") if lines else "no reason"
        return UserError(f"the {self.kind.replace('json_schema', 'JSON schema')} {why}", got=said[:300])


def _grammar(constraint: Constraint) -> str:
    from llguidance import LLMatcher

    text = constraint.text
    if constraint.kind == "json_schema":
        # A schema's own x-guidance may not widen what is set here.
        return str(LLMatcher.grammar_from_json_schema(text, overrides=JSON_FORM))
    if constraint.kind == "regex":
        return str(LLMatcher.grammar_from_regex(text))
    if constraint.kind == "choice":
        text = "start: " + " | ".join(json.dumps(option) for option in json.loads(text))
    return str(LLMatcher.grammar_from_lark(text))


def _limits() -> LLParserLimits:
    from llguidance import LLParserLimits

    return LLParserLimits(
        initial_lexer_fuel=FUEL, step_lexer_fuel=STEP_FUEL, max_lexer_states=MOST_STATES, max_grammar_size=MOST_SYMBOLS
    )


def _vocabulary(tokenizer: Tokenizer, stop_ids: frozenset[int]) -> LLTokenizer:
    """The tokens as bytes in a tree; once a tokenizer, 0.2 s for 49,152 tokens."""
    try:
        from llguidance import LLTokenizer, TokenizerWrapper
    except ImportError:
        raise UserError(
            "answers of a given form need the package llguidance", advice="Run: pip install 'fourfold[constraints]'"
        ) from None
    known = _known.setdefault(tokenizer, {})
    if stop_ids not in known:
        wrapper = TokenizerWrapper(_Tokens(tokenizer, min(stop_ids)))
        known[stop_ids] = LLTokenizer(wrapper, eos_token=sorted(stop_ids))
    return known[stop_ids]


class _Tokens:
    """A tokenizer as llguidance wants to see one."""

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        self.eos_token_id, self.bos_token_id = end, tokenizer.bos_id
        self.special_token_ids = sorted(tokenizer.special_ids)
        self.tokens = [_bytes(tokenizer, id) for id in range(tokenizer.vocabulary_size)]
        self._encode = tokenizer.encode_ordinary

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


def _bytes(tokenizer: Tokenizer, id: int) -> bytes:
    """Of one token; numbers that no token has stand for nothing."""
    try:
        return tokenizer.token_bytes(id)
    except UserError:
        return b""
