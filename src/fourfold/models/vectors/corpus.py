"""Text files, one sentence a line, as word ids."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import require_file
from fourfold.progress import task

Unit = Literal["words", "simple-words", "characters"]
_SIMPLE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
READ_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """A corpus of V words, the most frequent first."""

    words: list[str]
    counts: NDArray[np.int64]
    """(V,)"""
    tokens: NDArray[np.int32]
    """The ids of all sentences end to end."""
    ends: NDArray[np.int64]
    """Where each sentence ends."""

    @property
    def hash(self) -> str:
        digest = sha256("\n".join(self.words).encode())
        digest.update(self.tokens.tobytes())
        digest.update(self.ends.tobytes())
        return digest.hexdigest()


def read_sentences(paths: Sequence[Path], *, unit: Unit = "words") -> Sentences:
    """Words between white space; `simple-words`: runs of letters and digits in lower case; or single characters."""
    cut = CUTS[unit]
    ids: defaultdict[str, int] = defaultdict()
    ids.default_factory = ids.__len__
    tokens, ends = array("i"), array("q")
    for path in paths:
        require_file(path)
    with task("read text", sum(path.stat().st_size for path in paths) / 1e6, "MB") as work:
        for path in paths:
            for lines in _blocks(path):
                for line in lines:
                    tokens.extend(map(ids.__getitem__, cut(line)))
                    ends.append(len(tokens))
                work.advance(sum(map(len, lines)) / 1e6)
    return by_frequency(list(ids), np.array(tokens, np.int32), np.array(ends, np.int64))


def by_frequency(words: list[str], tokens: NDArray[np.int32], ends: NDArray[np.int64], min_count: int = 1) -> Sentences:
    """Ids by falling count; words that occur less than `min_count` times are left out of the sentences."""
    counts = np.bincount(tokens, minlength=len(words))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= max(min_count, 1)]
    new = np.full(len(words), -1, np.int32)
    new[order] = np.arange(len(order))
    tokens = new[tokens]
    kept = tokens >= 0
    ends = np.append(0, np.cumsum(kept))[ends]
    return Sentences(
        words=[words[i] for i in order], counts=counts[order], tokens=tokens[kept], ends=np.unique(ends[ends > 0])
    )


def without_rare(sentences: Sentences, min_count: int) -> Sentences:
    """Refuses when nothing to learn from is left."""
    kept = by_frequency(sentences.words, sentences.tokens, sentences.ends, min_count)
    if len(kept.words) < 2:
        raise UserError(
            "there are too few words to train on",
            expected=f"two different ones that occur {min_count} times or more",
            got=f"{len(kept.words)} of {len(sentences.words):,} words",
            advice="Give more text, or a lower --min-count.",
        )
    return kept


def _blocks(path: Path) -> Iterator[list[str]]:
    with open(path, "rb") as stream:
        while lines := stream.readlines(READ_BYTES):
            try:
                yield [line.decode() for line in lines]
            except UnicodeDecodeError as error:
                raise UserError("not UTF-8 text", where=path, got=repr(error.object[error.start : error.end])) from None


def _simple_words(line: str) -> list[str]:
    return _SIMPLE.findall(line.lower())


def _characters(line: str) -> Iterable[str]:
    return "".join(line.split())


CUTS: dict[Unit, Callable[[str], Iterable[str]]] = {
    "words": str.split,
    "simple-words": _simple_words,
    "characters": _characters,
}
