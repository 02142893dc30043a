"""N-gram models of words or characters between <s> and </s>, as KenLM trains and scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fourfold.errors import UserError
from fourfold.kernels import Indices, Integers, WordIndex
from fourfold.models.ngram.disk import DiskStream, NewFiles, count_ngrams_on_disk
from fourfold.models.ngram.estimate import check_pruning
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.reading import read_word_blocks, read_words
from fourfold.models.ngram.smoothing import check_smoothing, smoothing_named
from fourfold.models.ngram.training import fit, train_ngram_flat
from fourfold.models.ngram.word_tokenizer import MARKS, UNKNOWN, Unit, WordTokenizer
from fourfold.progress import say


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """Counting in files, for a text that is larger than memory."""

    memory: int
    """Bytes that counting and smoothing may take at a time, besides the words themselves."""
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
    tokens, ends = read_words(paths, index)
    new_ids, index = _without_rare(np.bincount(tokens, minlength=index.known), index, min_count, unit)
    tokenizer = WordTokenizer(index, unit)
    model = train_ngram_flat(
        tokens if new_ids is None else new_ids[tokens],
        ends,
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
        for ids, line_ends in read_word_blocks(paths, index):
            stream.append(ids, line_ends)
            some = np.bincount(ids, minlength=index.known)
            some[: len(counts)] += counts
            counts = some
        new_ids, index = _without_rare(counts, index, min_count, unit)
        if new_ids is not None:
            stream.rename(new_ids)
        tables = count_ngrams_on_disk(stream.read(), order, index.known, bos, eos, Path(place), on_disk.memory)
        model = fit(tables, smoothing_named(smoothing), name=smoothing, prune=prune, new=NewFiles(Path(place)))
        return model, WordTokenizer(index, unit)


def _without_rare(counts: Integers, index: WordIndex, min_count: int, unit: Unit) -> tuple[Indices | None, WordIndex]:
    """The new ids of all words, the rare ones read as <unk>, id 0, and the words; None where nothing changes.

    UserError when no word is left.
    """
    keep = counts >= min_count
    keep[: len(MARKS)] = True
    if not keep[len(MARKS) :].any():
        raise UserError(
            "the vocabulary is empty", expected=f"a word that occurs {min_count:,} times or more",
            got=f"{index.known - len(MARKS):,} different words", advice="Give more text, or a lower --min-count.",
        )  # fmt: skip
    if min_count <= 1:
        return None, index
    say(f"{np.count_nonzero(~keep):,} of {index.known:,} words occur less than {min_count} times and are {UNKNOWN}.")
    kept = [word for word, frequent in zip(index.words(), keep, strict=True) if frequent]
    new_ids = np.where(keep, np.cumsum(keep) - 1, 0).astype(np.int32)
    return new_ids, WordIndex(kept, characters=unit == "characters")
