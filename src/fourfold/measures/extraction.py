"""Answers cut from a Chinese text: the official metrics of CMRC 2018 (Cui et al. 2019, section 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIGNS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What the official script takes out; other signs count as characters of words."""
_PIECES = re.compile(r"[\u4e00-\u9fa5]|[^\W\u4e00-\u9fa5]+|[^\w\s]")


def extract_match(answer: str, target: str) -> bool:
    """Equal without the signs, white space around and case."""
    return _bare(answer) == _bare(target)


def extract_overlap(answer: str, target: str) -> float:
    """F1 of the longest run of pieces that both share; a Han character is a piece, and so is a word in other letters.

    Departure: words outside Han text are cut by letters and signs; the official script asks a tokenizer of English.
    """
    ours, theirs = _PIECES.findall(_bare(answer)), _PIECES.findall(_bare(target))
    shared = longest_common_run(ours, theirs)
    return 2 * shared / (len(ours) + len(theirs)) if shared else 0.0


def longest_common_run(a: Sequence[str], b: Sequence[str]) -> int:
    """How many pieces the longest run has that stands in both."""
    longest, above = 0, [0] * (len(b) + 1)
    for piece in a:
        row = [0] * (len(b) + 1)
        for column, other in enumerate(b, 1):
            if piece == other:
                row[column] = above[column - 1] + 1
                longest = max(longest, row[column])
        above = row
    return longest


def _bare(text: str) -> str:
    return "".join(sign for sign in text.lower().strip() if sign not in _SIGNS)
