"""Entropy pruning: drop the n-grams that a model hardly misses (Stolcke 1998).

Letters: p = P(w | h), q = P(w | h') of the shorter context, a the back-off weight of h.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fourfold.errors import UserError
from fourfold.kernels import Indices
from fourfold.models.ngram.layout import Flags, Level, lay_out, levels_of, thin
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.shares import Doubles


def prune_by_entropy(model: NGramLM, threshold: float) -> NGramLM:
    """The model without n-grams whose removal raises the perplexity of the model itself by less than `threshold`.

    `threshold` is relative: 1e-8 loses next to nothing, 1e-6 most of a large model. Longest n-grams go first;
    one stays where a longer one that stays has it as its context or as its end, which here, unlike in Stolcke's
    description, includes suffixes, as our files and KenLM's need them. The probability of a context is the
    product of the model's own; sentence starts are as likely as ends, and sure where ends are not modelled.
    """
    if not 0 < threshold < float("inf"):
        raise UserError("the pruning threshold must be above 0", expected="1e-8, say", got=threshold)
    if not model.config.normalised:
        raise UserError("entropy pruning needs probabilities", got=model.config.smoothing)
    levels = levels_of(model.trie, model.config.ngrams)
    keep = [np.ones(len(level.words), np.bool_) for level in levels]
    likely = _context_probabilities(model, levels)
    for order in range(len(levels), 1, -1):
        level, below = levels[order - 1], levels[order - 2]
        assert below.back_off is not None
        needed = np.zeros(len(level.words), np.bool_)
        if order < len(levels):
            longer = levels[order].kept(keep[order], None)
            needed[longer.prefixes] = needed[longer.suffixes] = True
        p, q = _probabilities(level), np.exp(below.log_prob[level.suffixes].astype(np.float64))
        keep[order - 1] = needed | (_cost(level.prefixes, p, q, likely[order - 2], below) >= threshold)
        back_off = _weights(level.prefixes, p, q, keep[order - 1], below)
        levels[order - 2] = below._replace(back_off=back_off.astype(np.float32))
    levels = thin(levels, keep)
    sizes = tuple(len(level.words) for level in levels)
    return NGramLM(replace(model.config, ngrams=sizes), lay_out(levels, sizes))


def _probabilities(level: Level) -> Doubles:
    return np.exp(level.log_prob.astype(np.float64))


def _context_probabilities(model: NGramLM, levels: list[Level]) -> list[Doubles]:
    """P(h) of the n-grams of each order below the highest, by the chain rule."""
    first = _probabilities(levels[0])
    config = model.config
    if config.bos_id is not None and config.bos_id != config.eos_id:
        first[config.bos_id] = 1.0 if config.eos_id is None else first[config.eos_id]
    likely = [first]
    for level in levels[1:-1]:
        likely.append(likely[-1][level.prefixes] * _probabilities(level))
    return likely


def _cost(prefixes: Indices, p: Doubles, q: Doubles, likely: Doubles, below: Level) -> Doubles:
    """The relative rise of perplexity when each n-gram goes alone (Stolcke 1998, equations 3 to 5)."""
    assert below.back_off is not None
    size = len(below.words)
    left = np.maximum(1 - np.bincount(prefixes, p, size), 0.0)
    room = np.maximum(1 - np.bincount(prefixes, q, size), 0.0)
    log_a = below.back_off.astype(np.float64)[prefixes]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_a_after = np.log((left[prefixes] + p) / (room[prefixes] + q))
        moved = np.where(left[prefixes] > 0, (log_a_after - log_a) * left[prefixes], 0.0)
        distance = -likely[prefixes] * (p * (np.log(q) + log_a_after - np.log(p)) + moved)
    cost: Doubles = np.where(p > 0, np.expm1(distance), 0.0)
    return cost


def _weights(prefixes: Indices, p: Doubles, q: Doubles, keep: Flags, below: Level) -> Doubles:
    """The back-off weights that make what is kept sum to one; those of contexts that lost nothing as they were."""
    assert below.back_off is not None
    size = len(below.words)
    left = 1 - np.bincount(prefixes, np.where(keep, p, 0.0), size)
    room = 1 - np.bincount(prefixes, np.where(keep, q, 0.0), size)
    touched = np.bincount(prefixes, ~keep, size) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(touched, np.log(np.maximum(left, 0.0) / room), below.back_off)
