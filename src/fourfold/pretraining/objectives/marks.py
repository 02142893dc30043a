"""What an objective has to know of a vocabulary: its reserved tokens, and where words and sentences end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.tokenizers import Tokenizer

Reserve = Literal["mask", "sentinels", "modes", "infilling"]

SENTINELS = 100
RESERVED: Mapping[Reserve, tuple[str, ...]] = {
    "mask": ("[MASK]", "[CLS]", "[SEP]"),
    "sentinels": tuple(f"<extra_id_{index}>" for index in range(SENTINELS)),
    "modes": ("[R]", "[S]", "[X]"),
    "infilling": ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
}
"""Names of the tokens to reserve when a vocabulary is made, by what they are for."""

_OTHER_NAMES = {"[MASK]": "<mask>", "[CLS]": "<s>", "[SEP]": "</s>"}
"""What RoBERTa and BART call them."""
_SENTENCE_ENDS = tuple(".!?。！？")


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Ids with a meaning, and facts about every id of a vocabulary of `size`."""

    size: int
    start: int
    """Begins what a decoder reads."""
    end: int
    """Ends a text."""
    reserved: Mapping[str, int]
    """Ids by the names of `RESERVED`, of those that the vocabulary has."""
    ordinary: NDArray[np.int64]
    """The ids that stand for text."""
    joins_left: NDArray[np.bool_] = field(repr=False)
    """(size,) True on a token that goes on with the word before it, if that reached its end."""
    joins_right: NDArray[np.bool_] = field(repr=False)
    """(size,) True on a token that ends inside a word."""
    sentence_ends: NDArray[np.bool_] = field(repr=False)
    """(size,) True on a token that ends a sentence or a line."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, needs: Iterable[Reserve] = ()) -> Marks:
        """Read a tokenizer; UserError when it lacks a token of `needs`, or a document end."""
        special = {tokenizer.token_bytes(id).decode(errors="replace"): id for id in tokenizer.special_ids}
        reserved = {
            name: special.get(name, special.get(_OTHER_NAMES.get(name, name), -1))
            for names in RESERVED.values()
            for name in names
        }
        reserved = {name: id for name, id in reserved.items() if id >= 0}
        for need in needs:
            missing = [name for name in RESERVED[need] if name not in reserved]
            if missing:
                raise _lacks(need, missing)
        start, end = tokenizer.document_start_id, tokenizer.eos_id
        if start is None:
            raise UserError("the tokenizer has no token that starts a document")
        texts = [_text(tokenizer, id) for id in range(tokenizer.vocabulary_size)]
        word_pieces = any(text.startswith(b"##") and len(text) > 2 for text in texts)
        return cls(
            size=len(texts),
            start=start,
            end=start if end is None else end,
            reserved=reserved,
            ordinary=np.array([id for id, text in enumerate(texts) if text and id not in tokenizer.special_ids]),
            joins_left=np.array([text.startswith(b"##") if word_pieces else _joins(text, 0) for text in texts]),
            joins_right=np.array([bool(text) if word_pieces else _joins(text, -1) for text in texts]),
            sentence_ends=np.array([_ends_sentence(text) for text in texts]),
        )

    def __getitem__(self, name: str) -> int:
        """The id of a reserved token."""
        return self.reserved[name]

    @property
    def sentinels(self) -> NDArray[np.int64]:
        """Ids of the sentinels, the first one first."""
        return np.array([self.reserved[name] for name in RESERVED["sentinels"] if name in self.reserved])

    def word_starts(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(T,) True where a word begins.

        Letters and digits in a row are a word, a Han character and a punctuation mark one each: what
        Chinese calls a word would need a segmenter.
        """
        starts = np.ones(len(tokens), np.bool_)
        starts[1:] = ~(self.joins_left[tokens[1:]] & self.joins_right[tokens[:-1]])
        return starts


def _lacks(need: Reserve, missing: list[str]) -> UserError:
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return UserError(
        f"the tokenizer has no {shown}",
        expected=f"the tokens of '{need}'",
        advice=f'Train it with reserve = ["{need}"] in its [tokenizer.…] section.',
    )


def _text(tokenizer: Tokenizer, id: int) -> bytes:
    """What a token stands for; nothing for a special one and for a hole in the ids."""
    if id in tokenizer.special_ids:
        return b""
    try:
        return tokenizer.token_bytes(id)
    except UserError:
        return b""


def _joins(text: bytes, end: Literal[0, -1]) -> bool:
    """Whether the first or last character of a token is inside a word.

    Of a character that tokens share, the first byte decides: two-byte characters are mostly letters, longer
    ones mostly Han.
    """
    if not text:
        return False
    byte = text[end]
    if byte < 0x80:
        return chr(byte).isalnum() or byte == ord("_") or (text == b" " and end == -1)  # a lone space begins a word
    character = text.decode(errors="ignore")[end:][:1] if byte >= 0xC0 or end else ""
    if not character or character.isascii():
        return byte < 0xE0 if end == 0 else True
    return character.isalpha() and not "\u2e80" <= character <= "\U0003ffff"


def _ends_sentence(text: bytes) -> bool:
    return b"\n" in text or text.decode(errors="ignore").endswith(_SENTENCE_ENDS)
