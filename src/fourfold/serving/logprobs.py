"""Log-probabilities of an answer's tokens in the two layouts of the OpenAI API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fourfold.inference import TextTokenizer, Token
from fourfold.tokenizers import Tokenizer

LEAST = -9999.0
"""For minus infinity, which JSON cannot say; OpenAI's own stand-in."""


def chat_logprobs(tokens: Sequence[Token], tokenizer: TextTokenizer, alternatives: int) -> dict[str, Any]:
    """`{"content": […]}`, one entry a token, with its bytes and the most probable alternatives."""
    return {"content": [_entry(token, tokenizer, alternatives) for token in tokens]}


def _entry(token: Token, tokenizer: TextTokenizer, alternatives: int) -> dict[str, Any]:
    assert token.id is not None
    others = [_alternative(id, value, tokenizer) for id, value in token.alternatives[:alternatives]]
    return {**_alternative(token.id, token.log_prob, tokenizer), "top_logprobs": others}


def _alternative(id: int, log_prob: float, tokenizer: TextTokenizer) -> dict[str, Any]:
    text, raw = spelt(id, tokenizer)
    return {"token": text, "logprob": max(log_prob, LEAST), "bytes": list(raw)}


class TextLogprobs:
    """The older layout: parallel lists over the tokens of an answer."""

    def __init__(self, tokenizer: TextTokenizer, alternatives: int) -> None:
        self.tokenizer, self.alternatives, self.offset = tokenizer, alternatives, 0

    def take(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """The lists for these tokens; offsets count the characters of the tokens before them."""
        found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for token in tokens:
            assert token.id is not None
            text, _ = spelt(token.id, self.tokenizer)
            others = token.alternatives[: self.alternatives]
            found["tokens"].append(text)
            found["token_logprobs"].append(max(token.log_prob, LEAST))
            # From the least probable on: of tokens that look alike (parts of characters) the best stays.
            alike = {spelt(id, self.tokenizer)[0]: max(value, LEAST) for id, value in reversed(others)}
            found["top_logprobs"].append(dict(reversed(alike.items())))
            found["text_offset"].append(self.offset)
            self.offset += len(text)
        return {**found, "top_logprobs": found["top_logprobs"] if self.alternatives else None}


def spelt(id: int, tokenizer: TextTokenizer) -> tuple[str, bytes]:
    """A token as text (half a character as U+FFFD) and as bytes."""
    if isinstance(tokenizer, Tokenizer):
        raw = tokenizer.token_bytes(id)
        return raw.decode(errors="replace"), raw
    text = tokenizer.decode([id])
    return text, text.encode()
