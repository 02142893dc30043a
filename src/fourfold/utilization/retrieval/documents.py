"""A file to passages and their terms: what a reader process does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fourfold.files import hash_file
from fourfold.kernels import TermCounts
from fourfold.pretraining.corpus.formats import ReaderMissing, ReadingLimits, Unreadable, read_sections
from fourfold.utilization.retrieval.passages import Draft, Splitting, split
from fourfold.utilization.retrieval.terms import count_terms_of

_PART = 2 * 2**20
_PART_SECONDS = 5.0
"""Of a slow file, what there is by then: who waits for it hears that it is at work."""


class Part(NamedTuple):
    """Passages of a file in their order, and the terms of each."""

    drafts: list[Draft]
    terms: TermCounts


class Outcome(NamedTuple):
    """How the reading of a file ended."""

    hash: str
    """Of the bytes that were read; empty if it vanished."""
    reason: str = ""
    """Why it is left out, or what of it; empty if it was read whole."""
    retry: bool = False
    """The file itself may be sound: try again the next time."""


def read_passages(path: Path, limits: ReadingLimits, splitting: Splitting) -> Iterator[Part | Outcome]:
    """Parts of a file in bounded size, then how it ended. What stands before damage is kept."""
    digest = ""
    found = False
    try:
        digest = hash_file(path)
        for part in _parts(path, limits, splitting):
            found = True
            yield part
        yield Outcome(digest, "" if found else "holds no text")
    except (Unreadable, MemoryError) as error:
        reason = str(error) if isinstance(error, Unreadable) else "needs more memory than a reader may take"
        yield Outcome(digest, f"{reason}; the rest is read" if found else reason, isinstance(error, ReaderMissing))
    except FileNotFoundError:
        yield Outcome(digest, "vanished while it was being read", retry=True)
    except OSError as error:
        yield Outcome(digest, f"can not be read: {error.strerror}", retry=True)


def _parts(path: Path, limits: ReadingLimits, splitting: Splitting) -> Iterator[Part]:
    drafts: list[Draft] = []
    size = 0
    due = time.monotonic() + _PART_SECONDS
    for section in read_sections(path, limits):
        for draft in split(section, splitting):
            drafts.append(draft)
            size += len(draft.text)
            if size >= _PART or time.monotonic() > due:
                yield _part(drafts)
                drafts, size, due = [], 0, time.monotonic() + _PART_SECONDS
    if drafts:
        yield _part(drafts)


def _part(drafts: list[Draft]) -> Part:
    return Part(drafts, count_terms_of([draft.searched for draft in drafts]))
