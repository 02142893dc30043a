"""N-gram models of words or characters between <s> and </s>, as KenLM trains and scores them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, final, get_args

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError, unknown_name
from fourfold.files import hash_value, read_json, require_file, write_json
from fourfold.kernels import WordReader
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.smoothing import check_smoothing
from fourfold.models.ngram.training import train_ngram_flat
from fourfold.progress import say, task

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPACE = "▁"
"""What stands for white space among characters, since an ARPA file cannot hold it."""

MEGABYTE = 1e6
BLOCK = 1 << 20
"""Bytes of text turned into ids at a time."""

Unit = Literal["words", "characters"]


def split(text: bytes, unit: Unit) -> list[bytes]:
    """Words between ASCII white space, or characters, with any white space between two of them as one SPACE."""
    words = text.split()
    if unit == "words":
        return words
    return [character.encode() for character in SPACE.join(_text(word) for word in words)]


@final
class WordTokenizer:
    """Words between ASCII white space, or characters; one that was not seen is <unk>."""

    chat_template: str | None = None
    file_name = "words.json"

    def __init__(self, words: Sequence[str], unit: Unit = "words") -> None:
        self.words = list(words)
        self.unit: Unit = unit
        self._ids = {word: index for index, word in enumerate(self.words)}
        missing = [mark for mark in (UNKNOWN, START, END) if mark not in self._ids]
        if missing or len(self._ids) != len(self.words):
            raise UserError("not a word list", got=f"no {missing[0]}" if missing else "a word twice")
        self.unk_id, self.bos_id, self.eos_id = (self._ids[mark] for mark in (UNKNOWN, START, END))
        self.pad_id: int | None = None
        self.document_start_id = self.bos_id
        self.special_ids = frozenset({self.unk_id, self.bos_id, self.eos_id})

    @property
    def vocabulary_size(self) -> int:
        return len(self.words)

    @cached_property
    def hash(self) -> str:
        return hash_value(self.words if self.unit == "words" else [self.unit, *self.words])

    def encode(self, text: str) -> list[int]:
        """Ids of the words; a mark such as </s> spelt in the text is an unknown word."""
        ids = (self._ids.get(word.decode(), self.unk_id) for word in split(text.encode(), self.unit))
        return [self.unk_id if index in self.special_ids else index for index in ids]

    def encode_ordinary(self, text: str) -> list[int]:
        return self.encode(text)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        hidden = {self.bos_id, self.eos_id} if skip_special else set()
        kept = [self.words[index] for index in ids if index not in hidden]
        return " ".join(kept) if self.unit == "words" else "".join(kept).replace(SPACE, " ")

    def decode_stream(self) -> WordStream:
        return WordStream(self)

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool = True) -> list[int]:
        raise UserError("a word n-gram model cannot chat", advice="Use generate, or a model with a chat template.")

    def save(self, folder: Path) -> None:
        write_json(folder / self.file_name, {"unit": self.unit, "words": self.words})

    @classmethod
    def load(cls, folder: Path) -> Self:
        record = read_json(folder / cls.file_name)
        if not isinstance(record, dict) or not isinstance(record.get("words"), list):
            raise UserError("not a word list", where=folder / cls.file_name)
        unit = record.get("unit", "words")
        if unit not in get_args(Unit):
            raise unknown_name("unit", unit, get_args(Unit), where=folder / cls.file_name)
        return cls(record["words"], unit)


class WordStream:
    """The words as they arrive; all steps together are `decode` of the same ids."""

    def __init__(self, tokenizer: WordTokenizer) -> None:
        self._tokenizer = tokenizer
        self._begun = False

    def step(self, id: int) -> str:
        word = self._tokenizer.decode([id])
        text = f" {word}" if word and self._begun and self._tokenizer.unit == "words" else word
        self._begun |= bool(word)
        return text

    def finish(self) -> str:
        return ""


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
    tokens, ends, names = _read_files(paths, unit)
    if min_count > 1:
        tokens, names = _without_rare(tokens, names, min_count)
    tokenizer = WordTokenizer(names, unit)
    model = train_ngram_flat(
        tokens,
        ends,
        order=order,
        vocabulary_size=len(names),
        smoothing=smoothing,
        prune=prune,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
    )
    return model, tokenizer


def _read_files(paths: Sequence[Path], unit: Unit) -> tuple[NDArray[np.int32], NDArray[np.int64], list[str]]:
    """The ids of all words of the files, where each line ends among them, and the words by id."""
    reader = WordReader([mark.encode() for mark in (UNKNOWN, START, END)], characters=unit == "characters")
    parts, ends, read = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
    for path in paths:
        require_file(path)
    with task("read text", sum(path.stat().st_size for path in paths) / MEGABYTE, "MB") as work:
        for block in chain.from_iterable(map(_blocks, paths)):
            ids, line_ends = reader.read(block)
            parts.append(ids)
            ends.append(line_ends + read)
            read += len(ids)
            work.advance(len(block) / MEGABYTE)
    if reader.skipped:
        say(f"Skipped {reader.skipped} marks ({START}, {END}, {UNKNOWN}) spelt in the text.")
    return np.concatenate(parts), np.concatenate(ends), [_text(word) for word in reader.words()]


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, some whole lines at a time."""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK) + stream.readline():
            yield block


def _without_rare(tokens: NDArray[np.int32], names: list[str], min_count: int) -> tuple[NDArray[np.int32], list[str]]:
    """The tokens and the words with the rare ones read as <unk>, id 0; ids keep their order."""
    keep = np.bincount(tokens, minlength=len(names)) >= min_count
    keep[: len((UNKNOWN, START, END))] = True
    say(f"{np.count_nonzero(~keep):,} of {len(names):,} words occur less than {min_count} times and are {UNKNOWN}.")
    new_ids = np.where(keep, np.cumsum(keep) - 1, 0).astype(np.int32)
    return new_ids[tokens], [name for name, kept in zip(names, keep, strict=True) if kept]


def _text(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise UserError("the text is not UTF-8", got=repr(word), advice="Convert it first.") from None
