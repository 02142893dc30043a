"""Which files of a folder are which split, and what each is about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fourfold.errors import UserError
from fourfold.evaluation.benchmarks.records import SUFFIXES

SPLITS = {"test": "test", "validation": "validation", "valid": "validation", "val": "validation", "dev": "dev"}
SPLITS |= {"train": "train"}
"""Words in names of files and folders, and the split they name."""

_WORD = re.compile(r"[^\W_\d]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


class SplitFile(NamedTuple):
    """A file of a benchmark."""

    path: Path
    split: str
    """"" where the names tell none."""
    subject: str


def split_files(folder: Path) -> list[SplitFile]:
    """The files of records below a folder, sorted by name.

    The split is the last of the words test, validation, dev or train in the path (`dev/law.csv`,
    `law_val.csv`, `all/test-00000-of-00001.parquet`); the subject is what else the file's name says, or its folder's.
    """
    if not folder.is_dir():
        raise UserError("no such file or folder", where=folder)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [SplitFile(path, *_told(path.relative_to(folder))) for path in found]


def told_by(path: Path) -> SplitFile:
    """One file by its name alone."""
    return SplitFile(path, *_told(Path(path.name)))


def _told(relative: Path) -> tuple[str, str]:
    words = [word.lower() for part in relative.with_suffix("").parts for word in _WORD.findall(part)]
    split = next((SPLITS[word] for word in reversed(words) if word in SPLITS), "")
    for part in reversed(relative.with_suffix("").parts):
        kept = [word for word in re.split(r"[_.]", _SHARD.sub("", part)) if word and word.lower() not in SPLITS]
        if kept and not all(word.isdecimal() for word in kept):
            return split, "_".join(kept)
    return split, ""
