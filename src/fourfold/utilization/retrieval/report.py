"""What indexing is about to cost, and what it did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fourfold.pretraining.corpus import extension_of

_EXAMPLES = 3
MEGABYTE = 2**20


@dataclass(frozen=True)
class Skipped:
    """Files that were left out, or part of which was, for the same reason."""

    reason: str
    extension: str
    count: int
    examples: tuple[str, ...]
    """Some of their paths."""

    def __str__(self) -> str:
        name = self.extension if self.extension != "(none)" else "without an extension"
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.count} {name}: {self.reason} ({', '.join(self.examples)}{more})"


@dataclass(frozen=True, kw_only=True)
class IndexPlan:
    """Said before the first file is read."""

    index_folder: Path
    files: int
    """To be read: new or changed."""
    bytes: int
    """Of those files."""
    memory: int
    """Bytes at most, of all processes together."""
    disk: int
    """Bytes at most that the index may have; it stops adding files there."""

    def __str__(self) -> str:
        return (
            f"{self.files} files to read ({self.bytes / MEGABYTE:.1f} MB), with at most {self.memory / 2**30:.1f} GB of"
            f" memory and {self.disk / 2**30:.1f} GB of disk; the index is in {self.index_folder}"
        )


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What `update` found and did."""

    plan: IndexPlan
    read: int
    """Files that were read this time."""
    unchanged: int
    removed: int
    """Files that are no longer there."""
    bytes: int
    """Of the files that were read."""
    passages: int
    """In the index now."""
    seconds: float
    skipped: tuple[Skipped, ...] = field(default=())
    """All files of the folder that are not in the index, or not whole: the most frequent reason first."""

    def __str__(self) -> str:
        lines = [
            f"{self.read} files read, {self.unchanged} unchanged, {self.removed} removed; {self.passages} passages"
            f" in {self.seconds:.1f} s"
        ]
        return "\n".join([*lines, *map(str, self.skipped)])


def group(skips: Iterable[tuple[str, str]]) -> tuple[Skipped, ...]:
    """(path, reason) pairs by reason and extension."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path, reason in skips:
        key = reason, extension_of(path)
        counts[key] += 1
        if len(examples[key]) < _EXAMPLES:
            examples[key].append(path)
    return tuple(Skipped(*key, count, tuple(examples[key])) for key, count in counts.most_common())
