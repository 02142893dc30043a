"""Tokens of GGUF files: their types, and the merges that scores imply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

SPACE = "\u2581"
"""What stands for a space in a SentencePiece token."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def is_byte(token: str) -> bool:
    """Whether a token stands for one byte, as <0x0A> does."""
    return _BYTE.fullmatch(token) is not None


def merges_of(vocabulary: Mapping[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, in the order SentencePiece would choose them: best score first."""
    ranked = []
    for token, id in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                ranked.append((-scores[id], -cut, vocabulary[left], left, right))
    ranked.sort()
    return [(left, right) for *_, left, right in ranked]
