"""Which document is for training, for validation, for testing; and fixed samples of each.

Three rules, one a group, each recorded in the card:

* by date, for dated packages unless the hash is asked for: the newest documents are the test, the next newest the
  validation set;
* by hash: a document's split depends on its id alone, so adding documents moves none of the others;
* by place, where a group has too few documents for that: the end of every document is held out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fourfold.pretraining.corpus.documents import Document

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_FEW = 20
_SAMPLED_DOCUMENTS = 8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What splitting needs to know of a document."""

    id: str
    group: str
    bytes: int
    date: str | None = None
    """Set when the document's source can be held out by date."""


class Assignment(NamedTuple):
    splits: dict[str, Split]
    """Document id -> split; a document that is cut by place is absent."""
    rule: str


def place(id: str) -> float:
    """A fixed pseudo-random number in [0, 1) for a document id."""
    return int.from_bytes(hashlib.sha256(id.encode(errors="replace")).digest()[:7]) / 2**56


def assign(entries: Sequence[Entry], fraction: float, sample_bytes: int, cutoff: str | None) -> Assignment:
    """The splits of one group's documents; validation and test get about `fraction` each. No cutoff: not by date."""
    if cutoff is not None and all(entry.date for entry in entries) and len(entries) >= _FEW:
        return _by_date(entries, sample_bytes, cutoff)
    if fraction == 0:
        return Assignment({entry.id: "train" for entry in entries}, "nothing is held out")
    if len(entries) < _FEW:
        rule = f"the end of every document: {fraction:.0%} test, {fraction:.0%} validation before it"
        return Assignment({}, rule)
    return _by_hash(entries, fraction)


def _by_date(entries: Sequence[Entry], sample_bytes: int, cutoff: str) -> Assignment:
    newest = sorted(entries, key=lambda entry: (entry.date or "", entry.id), reverse=True)
    later = [entry for entry in newest if (entry.date or "") > cutoff]
    test = later if sum(entry.bytes for entry in later) >= sample_bytes / 2 else _until(newest, sample_bytes)
    validation = _until(newest[len(test) :], sample_bytes)
    splits: dict[str, Split] = {entry.id: "train" for entry in entries}
    for entry in validation:
        splits[entry.id] = "validation"
    for entry in test:
        splits[entry.id] = "test"
    before = [entry.date for entry in test if (entry.date or "") <= cutoff]
    note = f"; {len(before)} of them not later ({', '.join(map(str, before))})" if before else ""
    dates = ", ".join(str(entry.date) for entry in test)
    return Assignment(
        splits,
        f"by date: test {dates} (wanted: later than {cutoff}{note}), validation the {len(validation)} before",
    )


def _until(entries: Sequence[Entry], size: int) -> list[Entry]:
    """The first entries that together have `size` bytes."""
    taken: list[Entry] = []
    for entry in entries:
        if sum(item.bytes for item in taken) >= size:
            break
        taken.append(entry)
    return taken


def _by_hash(entries: Sequence[Entry], fraction: float) -> Assignment:
    ranked = sorted(entries, key=lambda entry: place(entry.id))
    splits: dict[str, Split] = {}
    for entry in ranked:
        number = place(entry.id)
        splits[entry.id] = "test" if number < fraction else "validation" if number < 2 * fraction else "train"
    # Few documents may leave a split empty by chance; the lowest numbers then stand in.
    if "test" not in splits.values():
        splits[ranked[0].id] = "test"
    if "validation" not in splits.values():
        splits[next(entry.id for entry in ranked if splits[entry.id] == "train")] = "validation"
    return Assignment(splits, f"by hash of the document id: {fraction:.0%} test, {fraction:.0%} validation")


def cut_by_place(document: Document, fraction: float) -> list[tuple[Split, Document]]:
    """A document in three: its beginning for training, the rest for validation and test."""
    text = document.text
    first = _break_near(text, int(len(text) * (1 - 2 * fraction)))
    second = _break_near(text, max(int(len(text) * (1 - fraction)), first + 1))
    parts = zip(SPLITS, (text[:first], text[first:second], text[second:]), strict=True)
    named = ((split, part.strip("\n")) for split, part in parts)
    return [(split, _part(document, split, part)) for split, part in named if part.strip()]


def _part(document: Document, split: Split, text: str) -> Document:
    return Document(id=f"{document.id}@{split}", text=text, source=document.source, meta=document.meta)


def _break_near(text: str, position: int) -> int:
    """The end of the paragraph, line, sentence or word before a position, if one is near."""
    reach = max(len(text) // 50, 200)
    window = text[max(position - reach, 0) : position]
    for pattern in (r"\n\n", r"\n", r"[.!?。！？]\s*", r"\s"):
        ends = [match.end() for match in re.finditer(pattern, window)]
        if ends and position - len(window) + ends[-1] > 0:
            return position - len(window) + ends[-1]
    return position


def choose_sample(entries: Sequence[Entry], budget: int) -> list[tuple[Entry, int]]:
    """Documents to sample in a fixed order, and how many bytes of each.

    Eight documents or as many as fill the budget, each giving the same share unless it is shorter.
    """
    ranked = sorted(entries, key=lambda entry: place(entry.id))
    chosen: list[Entry] = []
    for entry in ranked:
        if len(chosen) >= _SAMPLED_DOCUMENTS and sum(item.bytes for item in chosen) >= budget:
            break
        chosen.append(entry)
    shares: dict[str, int] = {}
    left = max(budget - 2 * (len(chosen) - 1), 0)  # an empty line goes between two
    for count, entry in enumerate(sorted(chosen, key=lambda entry: entry.bytes)):
        shares[entry.id] = min(entry.bytes, left // (len(chosen) - count))
        left -= shares[entry.id]
    return [(entry, shares[entry.id]) for entry in chosen if shares[entry.id]]


def excerpt(text: str, size: int) -> str:
    """The beginning of a text in at most `size` bytes, ended at a line end if one is near."""
    data = text.encode()
    if len(data) <= size:
        return text
    cut = data[:size].decode("utf-8", "ignore")
    line_end = cut.rfind("\n")
    return cut[:line_end] if line_end > 0.8 * len(cut) else cut
