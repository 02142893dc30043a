"""Read an ARPA file: what it holds is checked line by line, then laid out as a trie."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Indices, Integers, Trie
from fourfold.models.ngram.arpa_lines import Lines, Section, read_section
from fourfold.models.ngram.counts import MAX_ORDER
from fourfold.models.ngram.estimate import NEVER
from fourfold.models.ngram.model import NGramConfig, NGramLM
from fourfold.models.ngram.word_tokenizer import END, START, UNKNOWN, WordTokenizer
from fourfold.progress import say, task

UNKNOWN_LOG10 = -100.0
"""What KenLM takes for <unk> when the file has none."""


def read_arpa(path: Path) -> tuple[NGramLM, WordTokenizer]:
    """The model of an ARPA file, plain or gzip (.gz), and the tokenizer of its words."""
    lines = Lines(path)
    sizes = _header(lines)
    vocabulary: dict[str, int] = {}
    sections = []
    with task("read ARPA", sum(sizes), "n-grams") as work:
        for order, size in enumerate(sizes, 1):
            sections.append(read_section(lines, order, size, vocabulary, last=order == len(sizes)))
            work.advance(size)
    if lines.next_full() != "\\end\\":
        raise lines.error("the file has no \\end\\", advice="It was cut, or holds more n-grams than its header says.")
    sections[0] = _with_unknown(sections[0], vocabulary, lines)
    words = WordTokenizer(list(vocabulary))
    trie = _lay_out(sections, len(vocabulary), list(vocabulary), path)
    trie.log_prob[1 + words.bos_id] = NEVER
    config = NGramConfig(
        order=len(sizes),
        vocabulary_size=len(vocabulary),
        smoothing="arpa",
        bos_id=words.bos_id,
        eos_id=words.eos_id,
        ngrams=tuple(len(section.log_prob) for section in sections),
    )
    return NGramLM(config, trie), words


def _header(lines: Lines) -> list[int]:
    line = lines.next_full()
    if line != "\\data\\":
        raise lines.error("not an ARPA file", expected="\\data\\", got=repr(line[:40]))
    sizes: list[int] = []
    while found := re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line := lines.next().strip()):
        if int(found[1]) != len(sizes) + 1:
            raise lines.error("orders are not in sequence", expected=f"ngram {len(sizes) + 1}=", got=line)
        sizes.append(int(found[2]))
    if line:
        raise lines.error("unreadable line in the header", expected="ngram ORDER=COUNT", got=repr(line[:40]))
    if not 1 <= len(sizes) <= MAX_ORDER:
        raise lines.error("n-gram order out of range", expected=f"1 to {MAX_ORDER}", got=len(sizes))
    return sizes


def _with_unknown(section: Section, vocabulary: dict[str, int], lines: Lines) -> Section:
    for name in (START, END):
        if name not in vocabulary:
            raise UserError(f"the ARPA file has no {name}", where=lines.path)
    if UNKNOWN in vocabulary:
        return section
    say(f"{lines.path.name} has no {UNKNOWN}; unknown words get 1e{UNKNOWN_LOG10:.0f}.")
    vocabulary[UNKNOWN] = len(vocabulary)
    grams = np.arange(len(vocabulary), dtype=np.int32)[:, None]
    return Section(grams, np.append(section.log_prob, UNKNOWN_LOG10), np.append(section.back_off, np.nan))


def _lay_out(sections: list[Section], size: int, words: list[str], path: Path) -> Trie:
    """Sort every order by (prefix, last token), finding prefixes and suffixes by binary search."""
    keys: list[Integers] = [np.arange(size)]
    word, suffix = [np.zeros(1, np.int32), sections[0].grams[:, 0]], [np.zeros(1 + size, np.int32)]
    log_prob, back_off = [np.zeros(1), sections[0].log_prob], [np.zeros(1), sections[0].back_off]
    followers, base = [np.array([size])], 1
    for order, section in enumerate(sections[1:], 2):
        prefixes = _find(keys, section.grams[:, :-1], size, words, path)
        packed = prefixes * size + section.grams[:, -1]
        ranks = np.argsort(packed, kind="stable")
        packed, grams = packed[ranks], section.grams[ranks]
        same = np.flatnonzero(packed[1:] == packed[:-1])
        if len(same):
            raise UserError("duplicate n-gram", where=path, got=repr(" ".join(words[i] for i in grams[same[0]])))
        suffix.append((base + _find(keys, grams[:, 1:], size, words, path)).astype(np.int32))
        followers.append(np.bincount(prefixes, minlength=len(keys[-1])))
        _need_back_offs(followers[-1], back_off[-1], order, path)
        base += len(keys[-1])
        keys.append(packed)
        word.append(grams[:, -1])
        log_prob.append(section.log_prob[ranks])
        back_off.append(section.back_off[ranks])
    return Trie(
        word=np.concatenate(word),
        suffix=np.concatenate(suffix),
        log_prob=_natural(log_prob),
        first_child=np.concatenate([[1], 1 + np.cumsum(np.concatenate(followers))]).astype(np.int32),
        back_off=_natural(back_off[:-1]),
    )


def _find(keys: list[Integers], grams: Indices, size: int, words: list[str], path: Path) -> Integers:
    """The rows of `grams` in the table of their order."""
    found: Integers = grams[:, 0].astype(np.int64)
    for position in range(1, grams.shape[1]):
        wanted = found * size + grams[:, position]
        found = np.searchsorted(keys[position], wanted)
        missing = np.flatnonzero(keys[position][np.minimum(found, len(keys[position]) - 1)] != wanted)
        if len(missing):
            shorter = " ".join(words[i] for i in grams[missing[0], : position + 1])
            raise UserError(
                "an n-gram stands without the shorter one inside it",
                where=path,
                got=repr(shorter),
                advice="Write the file without pruning that removes prefixes or suffixes.",
            )
    return found


def _need_back_offs(followers: NDArray[np.int64], back_off: NDArray[np.float64], order: int, path: Path) -> None:
    missing = int(np.count_nonzero(np.isnan(back_off) & (followers > 0)))
    if missing:
        raise UserError(f"{missing} of the {order - 1}-grams have longer n-grams but no back-off weight", where=path)


def _natural(log10: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    return (np.nan_to_num(np.concatenate(log10), nan=0.0, neginf=-np.inf) * math.log(10)).astype(np.float32)
