"""Records that come twice, or nearly; questions that are asked again and answered otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from fourfold.workflow.doctor.data.layouts import Row
from fourfold.workflow.doctor.data.near import near_duplicates
from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.findings import Check, Outcome, Unseen, Words, kind

MOST_NEAR = 20_000
"""Records compared for nearness without --deep: ten seconds."""

EXACT = kind("duplicate-exact")
NEAR = kind("duplicate-near")
AGAIN = kind("question-repeated")


def check(data: Data) -> Iterator[Outcome]:
    rows = [row for row in data.good if row.layout != "text" or row.text.strip()]
    first: dict[bytes, int] = {}
    copies: list[tuple[int, int]] = []
    single: list[Row] = []
    for row in rows:
        key = digest("\x00".join(turn.text for turn in (*row.turns, *row.chosen, *row.rejected)))
        if key in first:
            copies.append((row.line, first[key]))
        else:
            first[key] = row.line
            single.append(row)
    # Lines of a plain text repeat: headings, refrains, rows of signs.
    if copies and not (data.path.suffix in (".txt", ".md") and len(copies) < 0.2 * len(rows)):
        line, other = copies[0]
        yield EXACT.at(data.at(line), count=len(copies), line=line, other=other)
    yield from _questions(data, single)
    looked = single if data.model is not None and data.model.deep else single[:MOST_NEAR]
    pairs = list(near_duplicates([row.text for row in looked]))
    if pairs:
        line, other = looked[pairs[0][1]].line, looked[pairs[0][0]].line
        yield NEAR.at(data.at(line), count=len(pairs), line=line, other=other)
    if len(looked) < len(single):
        count = f"{len(single) - len(looked):,}"
        told = Words(f"near duplicates among the last {count} records", f"最后 {count} 条记录的近似重复")
        yield Unseen(Words(f"{told.en} (--deep)", f"{told.zh}（--deep）"))


def _questions(data: Data, rows: list[Row]) -> Iterator[Outcome]:
    first: dict[bytes, int] = {}
    again: list[tuple[int, int]] = []
    for row in rows:
        asked = "\x00".join(turn.text for turn in row.turns if turn.speaker == "user")
        if not asked.strip() or row.layout == "text":
            continue
        key = digest(asked)
        if key in first:
            again.append((row.line, first[key]))
        first.setdefault(key, row.line)
    if again:
        line, other = again[0]
        yield AGAIN.at(data.at(line), count=len(again), line=line, other=other)


def digest(text: str) -> bytes:
    """Of a text with its white space made even."""
    return blake2b(" ".join(text.split()).encode(errors="replace"), digest_size=16).digest()


CHECK: Check[Data] = Check(title=Words("Repetitions", "重复"), run=check, kinds=(EXACT, NEAR, AGAIN))
