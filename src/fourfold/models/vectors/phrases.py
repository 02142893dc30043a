"""Words that occur together far more often than by chance become one: `new york` as `new_york`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import group_keys
from fourfold.models.vectors.corpus import Sentences, by_frequency
from fourfold.progress import say

JOINT = "_"


def phrase_scores(
    pairs: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], words: int, discount: float
) -> NDArray[np.float64]:
    """(count(a b) - discount) / (count(a) count(b)), times the words of the text as the authors' program has it, so
    that one threshold fits texts of any size (Mikolov et al. 2013b, equation 6)."""
    return (pairs - discount) * words / (first.astype(np.float64) * second)


def join_phrases(sentences: Sentences, thresholds: Sequence[float], discount: float = 5) -> Sentences:
    """One pass a threshold; each joins pairs, from left to right, so that n passes make phrases of up to 2^n words."""
    for number, threshold in enumerate(thresholds, 1):
        before = len(sentences.words)
        sentences = _join(sentences, threshold, discount)
        joined = sum(JOINT in word for word in sentences.words)
        say(f"Phrases, pass {number}: {joined:,} among {len(sentences.words):,} words ({before:,} before).")
    return sentences


def _join(sentences: Sentences, threshold: float, discount: float) -> Sentences:
    tokens, counts, size = sentences.tokens, sentences.counts, len(sentences.words)
    if len(tokens) < 2:
        return sentences
    keys = tokens[:-1].astype(np.int64) * size + tokens[1:]
    inside = np.ones(len(keys), np.bool_)
    inside[sentences.ends[:-1] - 1] = False
    groups = group_keys(keys[inside])
    first, second = groups.keys // size, groups.keys % size
    scores = phrase_scores(groups.counts, counts[first], counts[second], len(tokens), discount)
    chosen = (groups.counts >= discount) & (scores > threshold)
    wanted = np.zeros(len(keys), np.bool_)
    wanted[inside] = chosen[groups.inverse]
    begins = _alternate(wanted)
    number = np.full(len(keys), -1, np.int64)
    number[inside] = (np.cumsum(chosen) - 1)[groups.inverse]
    names = [
        f"{sentences.words[a]}{JOINT}{sentences.words[b]}" for a, b in zip(first[chosen], second[chosen], strict=True)
    ]
    joined = tokens.copy()
    joined[:-1][begins] = size + number[begins]
    kept = np.append(True, ~begins)  # the second word of a phrase goes
    ends = np.append(0, np.cumsum(kept))[sentences.ends]
    return by_frequency([*sentences.words, *names], joined[kept], ends)


def _alternate(wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a phrase begins when pairs may not overlap: the 1st, 3rd, 5th… of each run of wanted ones."""
    places = np.arange(len(wanted))
    run_start = np.maximum.accumulate(np.where(wanted, -1, places)) + 1
    begins: NDArray[np.bool_] = wanted & ((places - run_start) % 2 == 0)
    return begins
