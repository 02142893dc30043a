"""TensorBoard's event files, the scalars of them, written without TensorBoard.

A file is a row of records: length, its checksum, the message, its checksum (TFRecord). A message is an `Event` of
protocol buffers: wall time (field 1), step (2), file version (3) or a summary (5) of tagged numbers.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed
_MASK_DELTA = 0xA282EAD8


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def masked_checksum(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecord wants it."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    checksum ^= 0xFFFFFFFF
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    parts = (length, struct.pack("<I", masked_checksum(length)), message, struct.pack("<I", masked_checksum(message)))
    return b"".join(parts)


def event(seconds: float, step: int, scalars: Mapping[str, float]) -> bytes:
    """An Event with a summary of these numbers."""
    summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in scalars.items())
    return _double(1, seconds) + _varint(2, step) + _bytes(5, summary)


def _key(field: int, kind: int) -> bytes:
    return bytes([field << 3 | kind])


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _key(field, 5) + struct.pack("<f", value)


def _varint(field: int, value: int) -> bytes:
    return _key(field, 0) + _number(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


@final
class EventFile:
    """One file of events in a folder; a sitting that resumes a training begins another, as TensorBoard expects."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self._stream = (folder / name).open("wb")
        self._stream.write(record(_double(1, now) + _bytes(3, b"brain.Event:2")))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._stream.write(record(event(time.time(), step, values)))
        self._stream.flush()

    def finish(self) -> None:
        self._stream.close()
