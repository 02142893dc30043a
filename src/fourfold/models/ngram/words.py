"""N-gram models of words or characters between <s> and </s>, as KenLM trains and scores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fourfold.files import require_file
from fourfold.kernels import WordIndex
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.smoothing import check_smoothing
from fourfold.models.ngram.training import train_ngram_flat
from fourfold.models.ngram.word_tokenizer import END, MARKS, START, UNKNOWN, Unit, WordTokenizer, text_of
from fourfold.progress import say, task

MEGABYTE = 1e6
BLOCK = 1 << 20
"""Bytes of text turned into ids at a time."""


def train_word_ngram(
    paths: Sequence[Path],
    order: int,
    smoothing: str = "modified-kneser-ney",
    *,
    unit: Unit = "words",
    min_count: int = 1,
    prune: Sequence[int] = (),
) -> tuple[NGramLM, WordTokenizer]:
    """Train on text files, one sentence a line, words between ASCII white space, exactly as KenLM's lmplz reads them.

    Every line, an empty one too, runs from <s> to </s>. The marks <s>, </s>, <unk> spelt in the text are skipped, as
    lmplz does with --skip_symbols. Words that occur less than `min_count` times are read as <unk>.
    """
    check_smoothing(smoothing)
    tokens, ends, index = _read_files(paths, unit)
    if min_count > 1:
        tokens, index = _without_rare(tokens, index, min_count, unit)
    tokenizer = WordTokenizer(index, unit)
    model = train_ngram_flat(
        tokens,
        ends,
        order=order,
        vocabulary_size=tokenizer.vocabulary_size,
        smoothing=smoothing,
        prune=prune,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    return model, tokenizer


def _read_files(paths: Sequence[Path], unit: Unit) -> tuple[NDArray[np.int32], NDArray[np.int64], WordIndex]:
    """The ids of all words of the files, where each line ends among them, and the words by id."""
    index = WordIndex([mark.encode() for mark in MARKS], characters=unit == "characters")
    parts, ends = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    read = skipped = 0
    for path in paths:
        require_file(path)
    with task("read text", sum(path.stat().st_size for path in paths) / MEGABYTE, "MB") as work:
        for block in chain.from_iterable(map(_blocks, paths)):
            ids, line_ends = index.add(block)
            marks = ids < len(MARKS)
            if marks.any():
                skipped += int(marks.sum())
                line_ends = line_ends - np.concatenate([[0], np.cumsum(marks)])[line_ends]
                ids = ids[~marks]
            parts.append(ids)
            ends.append(line_ends + read)
            read += len(ids)
            work.advance(len(block) / MEGABYTE)
    if skipped:
        say(f"Skipped {skipped} marks ({START}, {END}, {UNKNOWN}) spelt in the text.")
    _check_utf8(index)
    return np.concatenate(parts), np.concatenate(ends), index


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, some whole lines at a time."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK) + stream.readline():
            yield block


def _check_utf8(index: WordIndex) -> None:
    """Raise UserError that shows the first word that is none."""
    words = index.words()
    try:
        b"\n".join(words).decode()
    except UnicodeDecodeError:
        for word in words:
            text_of(word)


def _without_rare(
    tokens: NDArray[np.int32], index: WordIndex, min_count: int, unit: Unit
) -> tuple[NDArray[np.int32], WordIndex]:
    """The tokens and the words with the rare ones read as <unk>, id 0; ids keep their order."""
    keep = np.bincount(tokens, minlength=index.known) >= min_count
    keep[: len(MARKS)] = True
    say(f"{np.count_nonzero(~keep):,} of {index.known:,} words occur less than {min_count} times and are {UNKNOWN}.")
    new_ids = np.where(keep, np.cumsum(keep) - 1, 0).astype(np.int32)
    kept = [word for word, frequent in zip(index.words(), keep, strict=True) if frequent]
    return new_ids[tokens], WordIndex(kept, characters=unit == "characters")
