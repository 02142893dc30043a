"""`python lost_rank.py FOLDER WORDS…`: the command, in which rank 1 dies once, when FOLDER has a checkpoint."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from fourfold.cli import main


def die_once(folder: Path) -> None:
    mark = folder.parent / "died"
    while not list(folder.glob("step-*")):
        time.sleep(0.01)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        threading.Thread(target=die_once, args=(Path(sys.argv[1]),), daemon=True).start()
    main(sys.argv[2:])
