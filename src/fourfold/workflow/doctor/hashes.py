"""SHA-256 of the files against whatever says what it should be: our card, a list beside the file, the hub's cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fourfold.files import hash_file
from fourfold.progress import track
from fourfold.resources import model_card
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Unseen, Words, kind
from fourfold.workflow.doctor.model import Model

QUICK_BYTES = 2_000_000_000
"""Hashed without being asked to: two to four seconds."""
LISTS = ("SHA256SUMS", "sha256sum.txt", "SHA256SUMS.txt", "checksums.sha256", "checksum.sha256")
LIST_BYTES = 1_000_000
DIGEST = re.compile(r"\b[0-9a-fA-F]{64}\b")

DIFFERS = kind("hash-differs")


def check(model: Model) -> Iterator[Outcome]:
    known = {path: found for path in _files(model) if (found := expected(path)) is not None}
    small: dict[Path, tuple[str, Words]] = {}
    left = QUICK_BYTES
    for path, found in sorted(known.items(), key=lambda item: item[0].stat().st_size):
        left -= path.stat().st_size
        if left >= 0 or model.deep:
            small[path] = found
    right = 0
    for path, (digest, source) in track(list(small.items()), "hash", unit="files"):
        got = hash_file(path)
        right += got == digest
        if got != digest:
            yield DIFFERS.at(path.name, got=got[:12], expected=digest[:12], source=source)
    if right:
        yield Fact("hashes", Words("hashes", "哈希"), Words(f"{right} as recorded", f"{right} 个文件与记录一致"))
    if len(small) < len(known):
        count = len(known) - len(small)
        yield Unseen(Words(f"the hashes of {count} large files (--deep)", f"{count} 个大文件的哈希（--deep）"))


def _files(model: Model) -> list[Path]:
    if model.place.is_file():
        return [model.place]
    return sorted(path for path in model.place.iterdir() if path.is_file() and path.suffix != ".sha256")


def expected(path: Path) -> tuple[str, Words] | None:
    """The SHA-256 a file should have, and who says so."""
    card = model_card("smollm2").file
    if path.name == card.name:
        return card.sha256, Words("our card", "我们的卡片")
    beside = path.with_name(path.name + ".sha256")
    if beside.is_file() and (found := DIGEST.search(_text(beside))):
        return found[0].lower(), Words(beside.name, f" {beside.name} ")
    for name in LISTS:
        for line in _text(path.with_name(name)).splitlines():
            found = DIGEST.match(line)
            if found and line[64:].strip().lstrip("*./") == path.name:
                return found[0].lower(), Words(name, f" {name} ")
    return _from_hub(path)


def _from_hub(path: Path) -> tuple[str, Words] | None:
    """The hub's cache names large files by their hash; a download into a folder notes it beside."""
    hub = Words("the hub's record", "模型库的记录")
    if path.is_symlink():
        target = path.resolve().name
        return (target, hub) if DIGEST.fullmatch(target) else None
    noted = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    lines = _text(noted).splitlines()
    return (lines[1].strip(), hub) if len(lines) > 1 and DIGEST.fullmatch(lines[1].strip()) else None


def _text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > LIST_BYTES:
        return ""
    return path.read_text("utf-8", errors="replace")


CHECK: Check[Model] = Check(title=Words("Hashes", "哈希"), run=check, kinds=(DIFFERS,))
