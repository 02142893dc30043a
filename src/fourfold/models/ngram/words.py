"""N-gram models of words or characters between <s> and </s>, as KenLM trains and scores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fourfold.files import require_file
from fourfold.kernels import Indices, Integers, WordIndex
from fourfold.models.ngram.disk import DiskStream, count_ngrams_on_disk
from fourfold.models.ngram.estimate import check_pruning
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.smoothing import check_smoothing, smoothing_named
from fourfold.models.ngram.training import fit, train_ngram_flat
from fourfold.models.ngram.word_tokenizer import END, MARKS, START, UNKNOWN, Unit, WordTokenizer, text_of
from fourfold.progress import say, task

MEGABYTE = 1e6
BLOCK = 1 << 20
"""Bytes of text turned into ids at a time."""


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """Counting in files, for a text that is larger than memory."""

    memory: int
    """Bytes that counting may take at a time; smoothing takes about 60 for each n-gram of the largest order."""
    folder: Path
    """Where the files stand until the model is trained."""


def train_word_ngram(
    paths: Sequence[Path],
    order: int,
    smoothing: str = "modified-kneser-ney",
    *,
    unit: Unit = "words",
    min_count: int = 1,
    prune: Sequence[int] = (),
    on_disk: OnDisk | None = None,
) -> tuple[NGramLM, WordTokenizer]:
    """Train on text files, one sentence a line, words between ASCII white space, exactly as KenLM's lmplz reads them.

    Every line, an empty one too, runs from <s> to </s>. The marks <s>, </s>, <unk> spelt in the text are skipped, as
    lmplz does with --skip_symbols. Words that occur less than `min_count` times are read as <unk>.
    """
    check_smoothing(smoothing, learns=on_disk is None)
    check_pruning(prune, order)
    index = WordIndex([mark.encode() for mark in MARKS], characters=unit == "characters")
    _, bos, eos = range(len(MARKS))
    if on_disk is not None:
        return _train_on_disk(paths, order, smoothing, index, unit, min_count, prune, on_disk)
    parts, ends, read = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
    for ids, line_ends in _read_files(paths, index):
        parts.append(ids)
        ends.append(line_ends + read)
        read += len(ids)
    tokens = np.concatenate(parts)
    new_ids, index = _without_rare(np.bincount(tokens, minlength=index.known), index, min_count, unit)
    tokenizer = WordTokenizer(index, unit)
    model = train_ngram_flat(
        tokens if new_ids is None else new_ids[tokens],
        np.concatenate(ends),
        order=order,
        vocabulary_size=tokenizer.vocabulary_size,
        smoothing=smoothing,
        prune=prune,
        bos_id=bos,
        eos_id=eos,
    )
    return model, tokenizer


# budget: what `train_word_ngram` was asked for
def _train_on_disk(
    paths: Sequence[Path],
    order: int,
    smoothing: str,
    index: WordIndex,
    unit: Unit,
    min_count: int,
    prune: Sequence[int],
    on_disk: OnDisk,
) -> tuple[NGramLM, WordTokenizer]:
    _, bos, eos = range(len(MARKS))
    on_disk.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=on_disk.folder, prefix=".counting-") as place:
        stream, counts = DiskStream(Path(place), bos, eos), np.zeros(0, np.int64)
        for ids, line_ends in _read_files(paths, index):
            stream.append(ids, line_ends)
            some = np.bincount(ids, minlength=index.known)
            some[: len(counts)] += counts
            counts = some
        new_ids, index = _without_rare(counts, index, min_count, unit)
        if new_ids is not None:
            stream.rename(new_ids)
        tables = count_ngrams_on_disk(stream.read(), order, index.known, bos, eos, Path(place), on_disk.memory)
        return fit(tables, smoothing_named(smoothing), name=smoothing, prune=prune), WordTokenizer(index, unit)


def _read_files(paths: Sequence[Path], index: WordIndex) -> Iterator[tuple[Indices, Integers]]:
    """The ids of the words of some lines after the other, and where each line ends among them."""
    skipped = 0
    for path in paths:
        require_file(path)
    with task("read text", sum(path.stat().st_size for path in paths) / MEGABYTE, "MB") as work:
        for block in chain.from_iterable(map(_blocks, paths)):
            ids, ends = index.add(block)
            marks = ids < len(MARKS)
            if marks.any():
                skipped += int(marks.sum())
                ends = ends - np.concatenate([[0], np.cumsum(marks)])[ends]
                ids = ids[~marks]
            yield ids, ends
            work.advance(len(block) / MEGABYTE)
    if skipped:
        say(f"Skipped {skipped} marks ({START}, {END}, {UNKNOWN}) spelt in the text.")
    _check_utf8(index)


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


def _without_rare(counts: Integers, index: WordIndex, min_count: int, unit: Unit) -> tuple[Indices | None, WordIndex]:
    """The new ids of all words, the rare ones read as <unk>, id 0, and the words; None where nothing changes."""
    if min_count <= 1:
        return None, index
    keep = counts >= min_count
    keep[: len(MARKS)] = True
    say(f"{np.count_nonzero(~keep):,} of {index.known:,} words occur less than {min_count} times and are {UNKNOWN}.")
    kept = [word for word, frequent in zip(index.words(), keep, strict=True) if frequent]
    new_ids = np.where(keep, np.cumsum(keep) - 1, 0).astype(np.int32)
    return new_ids, WordIndex(kept, characters=unit == "characters")
