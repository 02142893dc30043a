"""Numbers of an n-gram model as entries of a small book, a byte or two each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Codes, Floats, unpacked
from fourfold.models.ngram.estimate import NEVER
from fourfold.models.ngram.model import NGramLM

TYPES = {8: np.uint8, 16: np.uint16}
_EXACT = np.array([NEVER, 0.0], np.float32)
"""Numbers that mean something by themselves, and have an entry of their own."""


class Quantized(NamedTuple):
    model: NGramLM
    mean_error: float
    """Of a log-probability, nats."""
    largest_error: float


def quantize_ngram(model: NGramLM, bits: int = 8) -> Quantized:
    """The model with `bits` bits a log-probability and a back-off weight, 8 or 16.

    Half of a book are the means of equally many numbers (Federico and Bertoldi 2006, "binning", as KenLM's -q); half
    lie evenly between the smallest and the largest, since the likeliest n-grams are few and queries meet them most.
    What comes out does not quite sum to one any more.
    """
    if bits not in TYPES:
        raise UserError("numbers of an n-gram model cannot be kept so", expected="8 or 16 bits", got=bits)
    trie = unpacked(model.trie)
    log_prob, log_prob_book = _coded(trie.log_prob, bits)
    back_off, back_off_book = _coded(trie.back_off, bits)
    errors = np.abs(log_prob_book[log_prob] - trie.log_prob)
    small = trie._replace(
        log_prob=log_prob, back_off=back_off, log_prob_book=log_prob_book, back_off_book=back_off_book
    )
    return Quantized(NGramLM(model.config, small), float(errors.mean(dtype=np.float64)), float(errors.max(initial=0)))


def _coded(numbers: NDArray[np.generic], bits: int) -> tuple[Codes, Floats]:
    """The entry nearest to each number, and the book, rising."""
    ordered = np.sort(numbers.astype(np.float32))
    ordered = ordered[~np.isin(ordered, _EXACT)]
    entries = min((2**bits - len(_EXACT)) // 2, len(ordered))
    starts = np.arange(entries) * len(ordered) // max(entries, 1)
    sums = np.add.reduceat(ordered.astype(np.float64), starts) if entries else np.empty(0)
    means = (sums / np.diff(starts, append=len(ordered))).astype(np.float32)
    even = np.linspace(ordered[0], ordered[-1], entries, dtype=np.float32) if entries else means
    book = np.unique(np.concatenate([means, even, _EXACT]))
    middles = (book[1:] + book[:-1]) / 2
    return np.searchsorted(middles, numbers).astype(TYPES[bits]), book
