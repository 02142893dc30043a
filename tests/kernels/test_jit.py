"""numba is imported when a function of its is first called, and not before."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import numpy as np
import fourfold.inference
from fourfold.kernels import group_keys
assert not {"numba", "polars"} & set(sys.modules), "a model that writes text needs neither"
assert group_keys.__name__ == "group_keys"
"""


def test_writing_text_needs_no_numba() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
