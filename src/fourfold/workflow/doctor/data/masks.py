"""Data through the model's own tokenizer and template: answers lost to the context, rows without a label."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.adaptation.instruction import encode_example
from fourfold.errors import UserError
from fourfold.progress import track
from fourfold.tokenizers import Tokenizer, hard_to_read
from fourfold.workflow.doctor.data.layouts import Row
from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.data.turns import is_empty, lines_of
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Unseen, Words, kind, same
from fourfold.workflow.doctor.languages import MUCH_UNKNOWN, unknown_share

QUICK_ROWS = 2000
"""Rows put through the template without --deep: two seconds."""
LOOKED_AT = 200_000
"""Characters whose tokens are counted."""

NO_TEMPLATE = kind("template-needed")
REFUSED = kind("template-refuses-row")
ALL_MASKED = kind("row-all-masked")
CUT = kind("answer-cut")
UNKNOWN = kind("data-unknown-tokens")
HARD = kind("data-hard-to-read")


def check(data: Data) -> Iterator[Outcome]:
    model = data.model
    if model is None or model.tokenizer is None or not data.good:
        return
    tokenizer = model.tokenizer
    yield from _readable(data, tokenizer)
    rows = [row for row in data.good if row.is_conversation or row.layout == "preference"]
    rows = [row for row in rows if row.turns and any(turn.speaker == "assistant" for turn in (*row.turns, *row.chosen))]
    if not rows or model.direction != "decoder":
        return
    if tokenizer.chat_template is None:
        yield NO_TEMPLATE.at(data.path.name)
        return
    step = 1 if model.deep else -(-len(rows) // QUICK_ROWS)
    yield from _through_template(data, tokenizer, rows[::step])
    if step > 1:
        rest = f"{1 - 1 / step:.0%}"
        yield Unseen(Words(f"{rest} of the rows through the template (--deep)", f"{rest} 的行未过模板（--deep）"))


def _readable(data: Data, tokenizer: Tokenizer) -> Iterator[Outcome]:
    texts, characters = [], 0
    for row in data.good:
        texts.append(row.text)
        characters += len(row.text)
        if characters > LOOKED_AT:
            break
    ids = [id for text in texts for id in tokenizer.encode_ordinary(text[:LOOKED_AT])]
    share = unknown_share(tokenizer, ids)
    ratio = f"{len(ids) / max(characters, 1):.2f}"
    yield Fact("density", Words("tokens a character", "每字符词元数"), same(ratio))
    if share > MUCH_UNKNOWN:
        yield UNKNOWN.at(data.path.name, share=share)
    elif (reason := hard_to_read(tokenizer.encode, texts)) is not None:
        yield HARD.at(data.path.name, reason=reason)


def _through_template(data: Data, tokenizer: Tokenizer, rows: list[Row]) -> Iterator[Outcome]:
    context = data.context or (data.model.context if data.model is not None else None)
    refused: list[Row] = []
    masked: list[Row] = []
    cut: list[Row] = []
    reason, longest = "", 0
    for row in track(rows, "template", unit="rows"):
        messages = [{"role": turn.speaker, "content": turn.text} for turn in (*row.turns, *row.chosen)]
        try:
            ids, wanted = tokenizer.encode_chat_with_mask(messages)
        except UserError as error:
            reason = reason or str(error).rstrip(".")[:160]
            refused.append(row)
            continue
        longest = max(longest, len(ids))
        example = encode_example(ids, wanted, context or len(ids))
        if not example.wanted or all(is_empty(turn.text) for turn in (*row.turns, *row.chosen)):
            masked.append(row)
        elif example.cut:
            cut.append(row)
    told = {"all": len(rows), "context": f"{context or 0:,}"}
    yield Fact("longest", Words("longest row", "最长的一行"), Words(f"{longest:,} tokens", f"{longest:,} 个词元"))
    if refused:
        yield REFUSED.at(data.at(refused[0]), count=len(refused), reason=reason, lines=lines_of(refused), **told)
    if masked:
        yield ALL_MASKED.at(data.at(masked[0]), count=len(masked), lines=lines_of(masked), **told)
    if cut:
        yield CUT.at(data.at(cut[0]), count=len(cut), longest=f"{longest:,}", lines=lines_of(cut), **told)


CHECK: Check[Data] = Check(
    title=Words("Through the model", "经过模型"),
    run=check,
    kinds=(NO_TEMPLATE, REFUSED, ALL_MASKED, CUT, UNKNOWN, HARD),
)
