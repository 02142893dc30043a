"""Words or characters as tokens, as n-gram models between <s> and </s> read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, final, get_args

import numpy as np

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_file, hash_value, read_json, write_json
from fourfold.kernels import Indices, Integers, WordIndex
from fourfold.models.ngram.word_files import LIST, load_words, save_table

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
MARKS = (UNKNOWN, START, END)
"""In the order of their ids in a model trained here."""
SPACE = "▁"
"""What stands for white space among characters, since an ARPA file cannot hold it."""

Unit = Literal["words", "characters"]


@final
class WordTokenizer:
    """Words between ASCII white space, or characters; one that was not seen is <unk>.

    On disk: `words.json` says the unit, `words.txt` has a word a line, in the order of their ids, and
    `words.safetensors` where each is, so that nothing has to be read before a word is asked for.
    """

    chat_template: str | None = None
    file_name = "words.json"

    def __init__(self, words: WordIndex | Iterable[str], unit: Unit = "words") -> None:
        if not isinstance(words, WordIndex):
            given = [word.encode() for word in words]
            words = WordIndex(given, characters=unit == "characters")
            if words.known != len(given):
                raise UserError("not a word list", got="a word twice, or one with white space in it")
        self.index = words
        self.unit: Unit = unit
        ids = [words.number(mark.encode()) for mark in MARKS]
        if min(ids) < 0:
            raise UserError("not a word list", got=f"no {MARKS[ids.index(-1)]}")
        self.unk_id, self.bos_id, self.eos_id = ids
        self.pad_id: int | None = None
        self.document_start_id = self.bos_id
        self.special_ids = frozenset(ids)

    @cached_property
    def words(self) -> list[str]:
        """All of them, by id."""
        return [text_of(word) for word in self.index.words()]

    @property
    def vocabulary_size(self) -> int:
        return self.index.known

    @cached_property
    def hash(self) -> str:
        return hash_value(self.words if self.unit == "words" else [self.unit, *self.words])

    def encode(self, text: str) -> list[int]:
        """Ids of the words; a mark such as </s> spelt in the text is an unknown word."""
        ids: list[int] = self.encode_lines(_one_line(text))[0].tolist()
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        return self.encode(text)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        ids, ends = self.encode_lines(b"".join(_one_line(text) + b"\n" for text in texts))
        return [part.tolist() for part in np.split(ids, ends[:-1])] if len(ends) else []

    def encode_lines(self, lines: bytes) -> tuple[Indices, Integers]:
        """The ids of all words of some lines, and for each line where its words end."""
        ids, ends = self.index.find(lines)
        ids[(ids == self.bos_id) | (ids == self.eos_id) | (ids < 0)] = self.unk_id
        return ids, ends

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        hidden = {self.bos_id, self.eos_id} if skip_special else set()
        kept = [text_of(self.index.word(number)) for number in ids if number not in hidden]
        return " ".join(kept) if self.unit == "words" else "".join(kept).replace(SPACE, " ")

    def decode_stream(self) -> WordStream:
        return WordStream(self)

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool = True) -> list[int]:
        raise UserError("a word n-gram model cannot chat", advice="Use generate, or a model with a chat template.")

    def save(self, folder: Path) -> None:
        with atomic_file(folder / LIST) as stream:
            stream.write(self.index.lines())
        save_table(self.index, folder)
        write_json(folder / self.file_name, {"unit": self.unit, "words": self.vocabulary_size})

    @classmethod
    def load(cls, folder: Path) -> Self:
        where = folder / cls.file_name
        record = read_json(where)
        if not isinstance(record, dict) or not isinstance(record.get("words"), int | list):
            raise UserError("not a word list", where=where)
        unit = record.get("unit", "words")
        if unit not in get_args(Unit):
            raise unknown_name("unit", unit, get_args(Unit), where=where)
        if isinstance(record["words"], list):  # as files were until there was a list beside them
            return cls(record["words"], unit)
        index = load_words(folder, characters=unit == "characters")
        if index.known != record["words"]:
            expected = f"{record['words']} words"
            raise UserError("the list of words is damaged", where=folder / LIST, expected=expected, got=index.known)
        return cls(index, unit)


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


def text_of(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise UserError("the text is not UTF-8", got=repr(word), advice="Convert it first.") from None


def _one_line(text: str) -> bytes:
    return text.replace("\n", " ").encode()
