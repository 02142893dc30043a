"""Bytes to text: UTF-8, UTF-16, GB18030 and Big5 by our own test, the rest by charset-normalizer."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import NamedTuple

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_-]{2,20})", re.IGNORECASE)
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso-8859-1": "cp1252"}
_PROBE_BYTES = 65536

# The most frequent characters of running Chinese text, simplified, traditional and classical, and its
# punctuation. A third of any real text is in this list; text read in the wrong encoding hardly ever is.
_FREQUENT = frozenset(
    "的一是不了在人有我他这这個个中大来來上国國到说說们們为為子和你地出道也时時年得就那要下以生会會自着著去之过過"
    "家学學对對可她里裡後后小么麼心多天而能好都然没沒日于於起还還发發成事只作当當想看文无無开開手十用主行方又如前"
    "所本见見经經头頭面公同三已老从從动動两兩长長知样樣现現分将將外但身些与與高意进進把法此实實回二理美点點月明"
    "其种種声聲全工己话話儿兒者向情部正名定女问問力机機给給等几幾很业業最间間新什打便位因重被走电電四第门門相次东"
    "東政海口使教西再平真听聽世气氣信北少关關并內内加化由却卻代军軍产產入先山五太水万萬市眼体體别別处處总總才场場"
    "师師书書比住员員九笑性通目华華报報立马馬命张張活难難神数數件安表原车車白应應路期叫死常提感金何更反合放做系计計"
    "不曰乎矣若夫哉焉则則故吾乃君必谓謂善言且非未花風风夜春秋江酒雲云山客月歸归"
    "，。、：；！？「」『』“”（）《》　"
)


class Decoded(NamedTuple):
    text: str
    encoding: str


class UnknownEncoding(ValueError):
    """The bytes are no text we can read; the message says why."""


def decode(data: bytes) -> Decoded:
    """The text of a whole file, its byte order mark removed."""
    encoding = detect(data)
    try:
        return Decoded(data.decode(encoding).removeprefix("\ufeff"), encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise UnknownEncoding(f"bad bytes for {encoding}") from error


def detect(data: bytes) -> str:
    """The encoding of a file (or of its first bytes: an incomplete character at the end is allowed)."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:_PROBE_BYTES]:
        return _utf16_without_mark(data)
    if _decodes(data, "utf-8"):
        return "utf-8"
    return _declared(data) or _chinese(data) or _by_library(data)


def _utf16_without_mark(data: bytes) -> str:
    """The byte order in which the bytes read as text."""
    probe = data[: min(len(data), _PROBE_BYTES) & ~1]
    scores = {
        encoding: sum(map(_wide_evidence, probe.decode(encoding, "replace"))) / max(len(probe) // 2, 1)
        for encoding in ("utf-16-le", "utf-16-be")
    }
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < 0.3 or not _decodes(data, best):
        raise UnknownEncoding("binary file")
    return best


def _wide_evidence(character: str) -> float:
    if " " <= character <= "~" or character in "\t\n\r":
        return 1.0
    if character.isalpha() and not _is_han(character):
        return 0.3
    return _evidence(character)


def _is_han(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(data)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _declared(data: bytes) -> str | None:
    """What an HTML page says about itself, if its bytes agree."""
    match = _DECLARED.search(data[:4096])
    if match is None:
        return None
    name = match[1].decode().lower()
    encoding = _SUPERSETS.get(name, name)
    return encoding if _decodes(data, encoding) else None


def _chinese(data: bytes) -> str | None:
    """GB18030 or Big5, whichever reads as Chinese; None when neither does."""
    probe = data[:_PROBE_BYTES]
    scores = {name: _plausibility(probe, name) for name in ("gb18030", "big5hkscs")}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0 and _decodes(data, best) else None


def _plausibility(data: bytes, encoding: str) -> float:
    """Mean evidence of the characters beyond ASCII; above 0 means Chinese."""
    if not _decodes(data, encoding):
        return -10.0
    characters = [character for character in data.decode(encoding, "ignore") if character > "\x7f"]
    return sum(map(_evidence, characters)) / max(len(characters), 1)


@lru_cache(maxsize=65536)
def _evidence(character: str) -> float:
    """Frequent characters are strong evidence; rare ones and what is not Han are against."""
    if character in _FREQUENT:
        return 3.0
    if not _is_han(character):
        return -3.0
    return -0.2 if _is_common(character) else -2.0


def _is_common(character: str) -> bool:
    """In level 1 of GB 2312 (3,755 characters) or of Big5 (5,401): the frequent halves of the two standards."""
    simplified = character.encode("gb2312", "ignore")
    traditional = character.encode("big5", "ignore")
    return b"\xb0" <= simplified[:1] <= b"\xd7" or b"\xa4" <= traditional[:1] <= b"\xc6"


def _by_library(data: bytes) -> str:
    try:
        import charset_normalizer
    except ImportError:
        raise UnknownEncoding("not UTF-8, UTF-16, GB18030 or Big5; pip install charset-normalizer reads more") from None
    # From the line where it is no longer ASCII: what comes before tells nothing.
    unlike = re.search(rb"[\x80-\xff]", data)
    start = data.rfind(b"\n", 0, unlike.start()) + 1 if unlike else 0
    best = charset_normalizer.from_bytes(data[start : start + _PROBE_BYTES], threshold=0.15).best()
    if best is None:
        raise UnknownEncoding("unknown encoding")
    return best.encoding
