"""Answers on disk, one file a request, whole or absent."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, final

from fourfold.files import atomic_file


@final
class Cache:
    """A folder of answers by the hash of address and request. Keys never reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def path(self, address: str, body: dict[str, Any]) -> Path:
        request = json.dumps([address, body], sort_keys=True, ensure_ascii=False)
        name = hashlib.sha256(request.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def get(self, address: str, body: dict[str, Any]) -> Any:
        """The answer, or None; a file that cannot be read counts as none."""
        try:
            return json.loads(self.path(address, body).read_bytes())
        except (OSError, ValueError):
            return None

    def put(self, address: str, body: dict[str, Any], answer: Any) -> None:
        with self._lock, atomic_file(self.path(address, body)) as stream:
            stream.write(json.dumps(answer, ensure_ascii=False).encode())
