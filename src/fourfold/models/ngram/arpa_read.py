"""Read an ARPA file: what it holds is checked line by line, then laid out as a trie."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Indices, Integers, Trie
from fourfold.models.ngram.counts import MAX_ORDER
from fourfold.models.ngram.estimate import NEVER
from fourfold.models.ngram.model import NGramConfig, NGramLM
from fourfold.models.ngram.words import END, START, UNKNOWN, WordTokenizer
from fourfold.progress import say, task

UNKNOWN_LOG10 = -100.0
"""What KenLM takes for <unk> when the file has none."""


class _Section(NamedTuple):
    """The n-grams of one order as they stand in the file."""

    grams: NDArray[np.int32]
    log_prob: NDArray[np.float64]
    back_off: NDArray[np.float64]
    """NaN where the line has none."""


def read_arpa(path: Path) -> tuple[NGramLM, WordTokenizer]:
    """The model of an ARPA file, plain or gzip (.gz), and the tokenizer of its words."""
    lines = _Lines(path)
    sizes = _header(lines)
    vocabulary: dict[str, int] = {}
    sections = []
    with task("read ARPA", sum(sizes), "n-grams") as work:
        for order, size in enumerate(sizes, 1):
            sections.append(_section(lines, order, size, vocabulary, last=order == len(sizes)))
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


class _Lines:
    """The lines of the file, counted, with reading errors turned into sentences."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError("no such file", where=path)
        self.path, self.number = path, 0
        self._lines = self._read()

    def _read(self) -> Iterator[str]:
        opener = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opener(self.path, "rt", encoding="utf-8", newline="\n") as stream:
                yield from stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError("damaged or cut gzip file", where=self.path, got=str(error)) from None
        except UnicodeDecodeError:
            raise self.error("not UTF-8 text") from None

    def next(self) -> str:
        self.number += 1
        line = next(self._lines, None)
        if line is None:
            raise self.error("the file ends too early", advice="It was cut; get a whole copy.")
        return line

    def next_full(self) -> str:
        line = self.next().strip()
        while not line:
            line = self.next().strip()
        return line

    def error(self, what: str, **parts: object) -> UserError:
        advice = parts.pop("advice", None)
        return UserError(what, where=f"{self.path}:{self.number}", advice=str(advice) if advice else None, **parts)


def _header(lines: _Lines) -> list[int]:
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


def _section(lines: _Lines, order: int, size: int, vocabulary: dict[str, int], last: bool) -> _Section:
    title = lines.next_full()
    if title != f"\\{order}-grams:":
        raise lines.error("wrong section or wrong count", expected=f"\\{order}-grams:", got=repr(title[:40]))
    grams = np.empty((size, order), np.int32)
    numbers = np.full((2, size), np.nan)
    for row in range(size):
        line = lines.next()
        fields = [field for field in line.strip("\r\n").replace("\t", " ").split(" ") if field]
        if len(fields) not in (order + 1, order + 2 - last):
            if not line.strip() or line.startswith("\\"):
                raise lines.error("fewer n-grams than the header says", expected=size, got=row)
            raise lines.error(f"not a {order}-gram line", got=repr(line.strip()[:60]))
        numbers[: len(fields) - order, row] = _number(lines, fields[0], 0), *map(float_or_nan, fields[order + 1 :])
        if len(fields) == order + 2 and not math.isfinite(numbers[1, row]):
            raise lines.error("a back-off weight is not a number", got=repr(fields[-1]))
        grams[row] = _ids(lines, fields[1 : order + 1], vocabulary)
    return _Section(grams, numbers[0], numbers[1])


def float_or_nan(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number(lines: _Lines, text: str, highest: float) -> float:
    value = float_or_nan(text)
    if math.isnan(value):
        raise lines.error("a log-probability is not a number", got=repr(text))
    if value > highest:
        raise lines.error("a log-probability is above 0", got=text)
    return value


def _ids(lines: _Lines, words: list[str], vocabulary: dict[str, int]) -> list[int]:
    if len(words) == 1:
        if words[0] in vocabulary:
            raise lines.error("duplicate n-gram", got=repr(words[0]))
        vocabulary[words[0]] = len(vocabulary)
    try:
        return [vocabulary[word] for word in words]
    except KeyError as error:
        raise lines.error("a word is not among the 1-grams", got=str(error)) from None


def _with_unknown(section: _Section, vocabulary: dict[str, int], lines: _Lines) -> _Section:
    for name in (START, END):
        if name not in vocabulary:
            raise UserError(f"the ARPA file has no {name}", where=lines.path)
    if UNKNOWN in vocabulary:
        return section
    say(f"{lines.path.name} has no {UNKNOWN}; unknown words get 1e{UNKNOWN_LOG10:.0f}.")
    vocabulary[UNKNOWN] = len(vocabulary)
    grams = np.arange(len(vocabulary), dtype=np.int32)[:, None]
    return _Section(grams, np.append(section.log_prob, UNKNOWN_LOG10), np.append(section.back_off, np.nan))


def _lay_out(sections: list[_Section], size: int, words: list[str], path: Path) -> Trie:
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
