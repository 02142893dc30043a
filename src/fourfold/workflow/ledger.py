"""The record of one stage: is it done, for which key, and what it took over all its sittings."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import hash_file, read_json, write_json
from fourfold.workflow.machine import peak_memory_bytes, reset_peak_memory

DONE = "done.json"
WORK = "work.json"
"""Present while a stage is unfinished: its key, and time and memory of the sittings so far."""


def finished(folder: Path) -> dict[str, Any] | None:
    """The contents of done.json, or None if the stage is not done or the file is damaged."""
    return _read(folder / DONE)


class Ledger:
    """Time and memory of one stage, kept across interruptions."""

    def __init__(self, folder: Path, key: str, *, watches: bool = False) -> None:
        """Continue the work found in `folder` if it is for this key; clear away work for another.

        A ledger that only watches writes and clears nothing: another process keeps the record.
        """
        self.folder, self.key, self._watches = folder, key, watches
        before = _read(folder / WORK)
        if before is None or before.get("key") != key:
            if folder.exists() and not watches:
                shutil.rmtree(folder)
            before = {"seconds": 0.0, "peak_memory_bytes": 0}
        self.resumed = before["seconds"] > 0
        self._seconds, self._peak = float(before["seconds"]), int(before["peak_memory_bytes"])
        self._began = time.perf_counter()
        reset_peak_memory()
        self.save()

    @property
    def seconds(self) -> float:
        return self._seconds + time.perf_counter() - self._began

    @property
    def peak(self) -> int:
        return max(self._peak, peak_memory_bytes())

    def save(self) -> None:
        """Write down time and memory so far; called with every checkpoint."""
        record = {"key": self.key, "seconds": round(self.seconds, 3), "peak_memory_bytes": self.peak}
        if not self._watches:
            write_json(self.folder / WORK, record)

    def finish(self) -> dict[str, Any]:
        """Write done.json, the last file of a stage."""
        outputs = {file.name: hash_file(file) for file in sorted(self.folder.iterdir()) if _is_output(file)}
        record = {
            "key": self.key,
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak,
            "outputs": outputs,
        }
        write_json(self.folder / DONE, record)
        (self.folder / WORK).unlink(missing_ok=True)
        return record


def _is_output(file: Path) -> bool:
    return file.is_file() and file.name not in (DONE, WORK) and not file.name.startswith(".")


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except UserError:
        return None
    return record if isinstance(record, dict) and "key" in record else None
