"""How much memory there is here."""

from __future__ import annotations

import os
from pathlib import Path


def machine_memory() -> int | None:
    """Bytes this process may use: the machine's, or less where a container says so; None if unknown."""
    limit = Path("/sys/fs/cgroup/memory.max")
    found = []
    if limit.is_file() and (text := limit.read_text("utf-8").strip()).isdigit():
        found.append(int(text))
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found) if found else None
