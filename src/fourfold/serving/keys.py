"""API keys: made once, shown once, kept as hashes.

A key is 32 random bytes, so one SHA-256 is enough: there is nothing to guess slowly. A line of the file is

    NAME sha256:HEX
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from fourfold.errors import UserError
from fourfold.files import read_text

PREFIX = "ff-"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINE = re.compile(rf"({NAME.pattern})\s+sha256:([0-9a-f]{{64}})")


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    """Who may come in: names and the hashes of their keys."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)

    def holder(self, key: str) -> str | None:
        """The name a key belongs to. Every hash is compared, and each in constant time."""
        given, found = digest(key), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found


def read_keys(file: Path) -> Keys:
    """The keys of a file; empty lines and those that begin with # are passed over."""
    hashes: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:  # the line itself is not shown: it may hold a key
            raise UserError("not a line of a keys file", where=f"{file}:{number}", expected="NAME sha256:HEX",
                            advice="Make one with: fourfold serve-key NAME --keys FILE")  # fmt: skip
        if match[1] in hashes:
            raise UserError(f"the name '{match[1]}' stands twice", where=f"{file}:{number}")
        hashes[match[1]] = match[2]
    if not hashes:
        raise UserError("no key in this file", where=file, advice="Make one with: fourfold serve-key NAME --keys FILE")
    return Keys(hashes)


def add_key(file: Path, name: str) -> str:
    """A new key whose hash is appended to the file, which only its owner may read; the key is not kept anywhere."""
    if NAME.fullmatch(name) is None:
        raise UserError("not a name for a key", expected="letters, digits, '.', '_' and '-'", got=name)
    if file.exists() and any(line.split()[:1] == [name] for line in read_text(file).splitlines()):
        raise UserError(f"there is a key for '{name}' already", where=file, advice="Take its line out to replace it.")
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as lines:
            lines.write(f"{name} sha256:{digest(key)}\n")
    except OSError as error:
        raise UserError(f"the keys file cannot be written ({error.strerror})", where=file) from error
    return key
