"""The byte-level alphabet: every byte has one printable character, so any text is tokens."""

from __future__ import annotations

import codecs
from collections.abc import Callable


def _alphabet() -> dict[int, str]:
    """Byte -> character, as GPT-2 chose them (Radford et al. 2019, section 2.2; the released `encoder.py`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = (byte for byte in range(256) if byte not in set(printable))
    table = {byte: chr(byte) for byte in printable}
    return table | {byte: chr(256 + index) for index, byte in enumerate(rest)}


CHARACTER_OF_BYTE = _alphabet()
BYTE_OF_CHARACTER = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}


def bytes_of(token: str) -> bytes:
    """The raw bytes a byte-level token stands for; a token outside the alphabet is its own UTF-8."""
    values = [BYTE_OF_CHARACTER.get(character, -1) for character in token]
    return token.encode() if -1 in values else bytes(values)


class ByteStream:
    """Turns tokens into text as they arrive and never splits a UTF-8 character."""

    def __init__(self, token_bytes: Callable[[int], bytes], hidden: frozenset[int]) -> None:
        self._token_bytes = token_bytes
        self._hidden = hidden
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def step(self, id: int) -> str:
        """The text that became certain with this token; empty while a character is incomplete."""
        return "" if id in self._hidden else self._decoder.decode(self._token_bytes(id))

    def finish(self) -> str:
        """What is left of a character that never became complete, as U+FFFD."""
        return self._decoder.decode(b"", final=True)
