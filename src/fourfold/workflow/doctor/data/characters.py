"""Text that was read in the wrong encoding, written by the wrong program, or never meant to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.data.turns import lines_of
from fourfold.workflow.doctor.findings import Check, Outcome, Words, kind, listed

GARBLED = re.compile("Ã[\u0080-\u00bf]|â€[™œ\u009d“”¦˜]|Â[\u00a0-\u00bf]|ï»¿|[\u0080-\u009f]|锟斤拷|烫烫烫|屯屯屯")
"""UTF-8 read as Latin-1 (which has control characters where others have signs) or Windows-1252, or as GBK after a
loss; and memory that was never written."""
LOST = re.compile("\ufffd|[\ud800-\udfff]")
CONTROL = re.compile("[\u0000-\u0008\u000b\u000e-\u001f\u007f]")
ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4}){2}")

MOJIBAKE = kind("text-garbled")
REPLACED = kind("text-lost")
INVISIBLE = kind("text-control")
DOUBLY = kind("text-escaped")


def check(data: Data) -> Iterator[Outcome]:
    for wrong, pattern in ((MOJIBAKE, GARBLED), (REPLACED, LOST), (INVISIBLE, CONTROL), (DOUBLY, ESCAPED)):
        found = {row: match[0] for row in data.good if (match := pattern.search(row.text))}
        if found:
            rows = list(found)
            seen = listed(sorted({shown(text) for text in found.values()}))
            yield wrong.at(data.at(rows[0]), count=len(rows), seen=seen, lines=lines_of(rows))


def shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)


CHECK: Check[Data] = Check(title=Words("Characters", "字符"), run=check, kinds=(MOJIBAKE, REPLACED, INVISIBLE, DOUBLY))
