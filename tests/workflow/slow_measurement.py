"""`python slow_measurement.py WORDS…`: the command, with measurements that last longer than steps are waited for."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

from fourfold.cli import main
from fourfold.training import parallel
from fourfold.workflow.stages import pretrain

PATIENCE = 3.0
"""Seconds in which a step must be answered."""


def slowly(*arguments: Any) -> dict[str, float]:
    time.sleep(PATIENCE + 1.5)
    return measured(*arguments)


if __name__ == "__main__":
    parallel.joined = partial(parallel.joined, timeout=PATIENCE)
    measured, pretrain.bits_per_byte = pretrain.bits_per_byte, slowly
    main(sys.argv[1:])
