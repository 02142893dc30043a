"""Records of downstream tasks as rows of a model.

Models of one stack answer with a classifier on their hidden states, except where text has to be written;
encoder-decoders write every answer (the text-to-text form of Raffel et al. 2020, section 2.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import tokenizers
import torch

from fourfold.adaptation.downstream.records import Record, TaskKind
from fourfold.adaptation.instruction import EpochOrder
from fourfold.errors import UserError
from fourfold.pretraining.objectives import Example, Form, Marks, collate, lay_out
from fourfold.tokenizers import Tokenizer
from fourfold.training import IGNORED, LabelledBatch

QUESTION_SHARE = 0.5
"""Of the context, at most, for a question."""
ANSWER_SHARE = 0.25
"""Of a decoder's context, at most, for a written answer."""
Offsets = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record as a model reads it."""

    example: Example
    """What it learns from; a row for a classifier has no labels."""
    offsets: Offsets
    """Characters of the record's text each token of `example.ids` covers; (-1, -1): none of it."""
    targets: list[int] | None = None
    """A class; a class a token, or `IGNORED`; the first and last token of a span. None: it was cut off, or text
    is to be written."""


def writes(kind: TaskKind, form: Form) -> bool:
    """Whether a model of this form answers this task in words; UserError when it can do neither."""
    if kind == "tagging" and form == "encoder-decoder":
        raise UserError("an encoder-decoder has no tags for tokens", advice="Tag with an encoder such as BERT.")
    if kind == "seq2seq" and form in ("bidirectional", "both-directions"):
        raise UserError("an encoder writes no text", advice="Use a decoder or an encoder-decoder for seq2seq.")
    if kind == "extraction" and form == "both-directions":
        raise UserError("ELMo's features find no spans here", advice="Use them for classification or tagging.")
    return kind == "seq2seq" or form == "encoder-decoder"


@final
class RowMaker:
    """Makes rows of records for one tokenizer, task and model."""

    def __init__(
        self, tokenizer: Tokenizer, kind: TaskKind, form: Form, context: int, classes: Sequence[str] = ()
    ) -> None:
        self.kind, self.form, self.context, self.classes = kind, form, context, tuple(classes)
        self.writes = writes(kind, form)
        self.marks = Marks.of(tokenizer, ("mask",) if form == "bidirectional" else ())
        self._core = tokenizer.core_copy()
        self._core.encode_special_tokens = True  # what a text spells stays text
        self.answer_tokens = context if form == "encoder-decoder" else max(2, int(context * ANSWER_SHARE))
        """Room for a written answer and its end."""

    def row(self, record: Record) -> Row:
        return self._written(record) if self.writes else self._classified(record)

    def prompt(self, record: Record) -> list[int]:
        """What a model that writes has read before its answer: the source, or the row so far."""
        question = self._tokens(record.question)[0][: int(self.context * QUESTION_SHARE)]
        text = self._tokens(record.text)[0]
        before = [] if self.form == "encoder-decoder" else [self.marks.start]
        before += [*question, self.marks.end] if question else []
        room = self.context - len(before) - 1 - (0 if self.form == "encoder-decoder" else self.answer_tokens - 1)
        return [*before, *text[: max(0, room)], self.marks.end]

    def _written(self, record: Record) -> Row:
        answer = self._tokens(record.answer)[0][: self.answer_tokens - 1]
        target = np.array([*answer, self.marks.end])
        return Row(example=lay_out(np.array(self.prompt(record)), target, self.form, self.marks), offsets=[])

    def _classified(self, record: Record) -> Row:
        """[CLS] question [SEP] text [SEP], or with the start and end of a document for a decoder."""
        both = self.form == "bidirectional"
        start, end = (self.marks["[CLS]"], self.marks["[SEP]"]) if both else (self.marks.start, self.marks.end)
        question = self._tokens(record.question)[0][: int(self.context * QUESTION_SHARE)]
        before = [start, *question, end] if question else [start]
        text, places = self._tokens(record.text)
        room = max(0, self.context - len(before) - 1)
        ids = np.array([*before, *text[:room], end])
        offsets = [*[(-1, -1)] * len(before), *places[:room], (-1, -1)]
        segments = np.array([0] * len(before) + [1] * (len(ids) - len(before))) if both and question else None
        example = Example(ids=ids, labels=np.full(len(ids), IGNORED), segments=segments)
        return Row(example=example, offsets=offsets, targets=self._targets(record, offsets))

    def _targets(self, record: Record, offsets: Offsets) -> list[int] | None:
        if self.kind == "classification":
            return [self.classes.index(record.answer)] if record.answer in self.classes else None
        if self.kind == "tagging":
            targets = [IGNORED] * len(offsets)
            for tag in record.tags:
                place = token_at(offsets, tag.start)
                if place is not None and tag.name in self.classes:
                    targets[place] = self.classes.index(tag.name)
            return targets
        ends = [token_at(offsets, place) for place in (record.start, record.start + len(record.answer) - 1)]
        return None if None in ends else [end for end in ends if end is not None]

    def _tokens(self, text: str) -> tuple[list[int], Offsets]:
        encoding: tokenizers.Encoding = self._core.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets


def token_at(offsets: Offsets, place: int) -> int | None:
    """The first token that covers a character; None when it is outside the row."""
    return next((index for index, (start, end) in enumerate(offsets) if start <= place < end), None)


def put_together(rows: Sequence[Row], pad: int) -> LabelledBatch:
    """A batch of rows, with the targets of a classifier where they have them."""
    batch = collate([row.example for row in rows], pad)
    targets = [row.targets for row in rows if row.targets is not None]
    if len(targets) < len(rows):
        return batch
    values = torch.full((len(rows), max(map(len, targets))), IGNORED)
    for index, row in enumerate(targets):
        values[index, : len(row)] = torch.tensor(row)
    return replace(batch, targets=values[:, 0] if values.shape[1] == 1 else values)


@final
class TaskBatches:
    """A BatchSource over rows: all once an epoch, rows of like length together."""

    def __init__(self, rows: Sequence[Row], pad: int, batch_size: int, seed: int) -> None:
        self._rows, self._pad = rows, pad
        self.order = EpochOrder(tuple(len(row.example.ids) for row in rows), batch_size, seed)

    def at(self, step: int) -> list[LabelledBatch]:
        return [put_together([self._rows[index] for index in self.order.at(step)], self._pad)]


def in_batches(rows: Sequence[Row], size: int) -> Iterator[list[int]]:
    """Numbers of rows of like length, so many at a time."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].example.ids))
    return (order[start : start + size] for start in range(0, len(order), size))
