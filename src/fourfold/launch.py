"""What a launcher such as torchrun told this process: how many there are, and which one it is."""

from __future__ import annotations

import os


def launched_processes() -> int:
    """How many processes work on this command; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Which one this is, from 0."""
    return int(os.environ.get("RANK", "0")) if launched_processes() > 1 else 0


def follows() -> bool:
    """Whether another process leads: it walks the recipe, writes and speaks."""
    return launched_rank() > 0


def program() -> list[str]:
    """The words that start Fourfold as it was started; those in capitals stand for what only the user knows."""
    processes = launched_processes()
    if processes == 1:
        return ["fourfold"]
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    meeting = ["--nnodes", str(processes // here), "--rdzv-backend", "c10d", "--rdzv-endpoint", "HOST:PORT"]
    return ["torchrun", *(meeting if here < processes else []), "--nproc-per-node", str(here), "-m", "fourfold"]
