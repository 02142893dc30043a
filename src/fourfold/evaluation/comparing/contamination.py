"""Items that stand in a training text: n-grams of words they share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fourfold.errors import UserError
from fourfold.evaluation.comparing.samples import Sample
from fourfold.measures import words_of
from fourfold.progress import track

LEAST, MOST = 8, 13
"""Words of an n-gram: as long as the item at the 5th percentile, within these (Brown et al. 2020, appendix C)."""
SUFFIXES = (".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".html", ".rst", ".py")

Gram = tuple[str, ...]


class Overlap(NamedTuple):
    """How an item stands in a training text."""

    share: float
    """Of its words, those that lie in a shared n-gram."""
    order: int
    """Words of the n-grams."""
    where: str
    """File and line of the first one found."""


def overlaps(samples: Sequence[Sample], files: Sequence[Path]) -> dict[Sample, Overlap]:
    """The items of which at least one n-gram of words occurs in the files (folders are searched).

    GPT-3's rule (Brown et al. 2020, appendix C) with words by script: a Han character is one. `share` is Llama 2's
    measure (Touvron et al. 2023, section A.6) without its skips: a fifth is often a common phrase, four fifths are the
    item itself. An item shorter than the n-gram is never flagged. Memory is bounded by the items, not by the files.
    """
    if not files or not samples:
        return {}
    words = {sample: words_of(" ".join([sample.question, *sample.choices])) for sample in samples}
    order = int(np.clip(np.percentile([len(found) for found in words.values()], 5), LEAST, MOST))
    wanted: dict[Gram, list[tuple[Sample, int]]] = {}
    for sample, found in words.items():
        for start in range(len(found) - order + 1):
            wanted.setdefault(tuple(found[start : start + order]), []).append((sample, start))
    covered: dict[Sample, set[int]] = {}
    first: dict[Sample, str] = {}
    for gram, where in _shared(wanted, order, _all_files(files)):
        for sample, start in wanted[gram]:
            covered.setdefault(sample, set()).update(range(start, start + order))
            first.setdefault(sample, where)
    return {s: Overlap(len(covered[s]) / len(words[s]), order, first[s]) for s in samples if s in covered}


def _shared(wanted: Mapping[Gram, Any], order: int, files: Sequence[Path]) -> Iterator[tuple[Gram, str]]:
    """Every wanted n-gram that occurs, once, with the first place where it does; n-grams may run across lines."""
    seen: set[Gram] = set()
    for file in track(files, "look for items", unit="files"):
        before: list[str] = []
        for line, text in _texts(file):
            words = before + words_of(text)
            for start in range(len(words) - order + 1):
                gram = tuple(words[start : start + order])
                if gram in wanted and gram not in seen:
                    seen.add(gram)
                    yield gram, f"{file}:{line}"
            before = words[max(0, len(words) - order + 1) :] if file.suffix != ".jsonl" else []


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    with open(file, encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            yield number, " ".join(_strings(line)) if file.suffix == ".jsonl" else line


def _strings(line: str) -> Iterable[str]:
    """All texts of a JSON value, in order; of a line that is none, the line."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return [line]
    return _leaves(value)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(part)


def _all_files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError("no such training text", where=path)
        inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise UserError("no text in this folder", where=path, expected=", ".join(SUFFIXES))
        found += inside
    return found
