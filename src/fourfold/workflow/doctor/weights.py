"""The numbers themselves: not a number, all alike, far outside the rest, too large for the type they are run in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.progress import task
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Unseen, Words, kind, listed
from fourfold.workflow.doctor.model import Model
from fourfold.workflow.doctor.tensors import Stored

QUICK_VALUES = 200_000_000
"""Looked at without --deep: about a second plain, three packed."""
PIECE = 1 << 20
"""Values looked at together."""
HALF_LARGEST = 65504.0
OUTLIER = 1000.0
"""Largest over root mean square. The largest seen in sound matrices is 175 (LOG.md, 2026-11-27)."""
LARGE = 1e4
"""No sound weight is near it."""

NOT_NUMBERS = kind("weight-nan")
ZERO = kind("weight-zero")
CONSTANT = kind("weight-constant")
FAR = kind("weight-outlier")
OVERFLOW = kind("fp16-overflow")


class Seen(NamedTuple):
    """What a look at a tensor told."""

    largest: float = 0.0
    least: float = float("inf")
    greatest: float = float("-inf")
    squares: float = 0.0
    values: int = 0
    strange: int = 0
    row: int = -1

    def with_part(self, part: NDArray[np.float32], first_row: int) -> Seen:
        """Three passes of numpy, which keeps to one thread: two that wait for each other on a busy machine took
        ten times as long."""
        least, greatest = float(part.min()), float(part.max())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            strange = ~np.isfinite(part)
            row = int(strange.reshape(len(part), -1).any(axis=1).argmax())
            return self._replace(
                strange=self.strange + int(strange.sum()),
                row=self.row if self.row >= 0 else first_row + row,
                values=self.values + part.size,
            )
        with np.errstate(over="ignore"):
            squares = float(np.einsum("i,i->", part.reshape(-1), part.reshape(-1)))
        return self._replace(
            largest=max(self.largest, -least, greatest),
            least=min(self.least, least),
            greatest=max(self.greatest, greatest),
            squares=self.squares + squares,
            values=self.values + part.size,
        )

    @property
    def times(self) -> float:
        """Largest over root mean square."""
        return self.largest / max(math.sqrt(self.squares / max(self.values, 1)), 1e-30)


def check(model: Model) -> Iterator[Outcome]:
    entries = {name: entry for name, entry in model.entries.items() if entry.whole and entry.is_number}
    entries = {name: entry for name, entry in entries.items() if entry.numbers}
    total = sum(entry.numbers for entry in entries.values())
    if not total:
        return
    share = 1.0 if model.deep else min(1.0, QUICK_VALUES / total)
    half = str(model.config.get("dtype", model.config.get("torch_dtype"))) in ("float16", "torch.float16")
    zeros: list[str] = []
    constants: list[str] = []
    seen_values = 0
    with task("weights", total * share / 1e6, "M values") as work:
        for name, entry in entries.items():
            seen = look(model, name, entry, share)
            seen_values += seen.values
            work.advance(seen.values / 1e6)
            if seen.strange:
                yield NOT_NUMBERS.at(name, count=f"{seen.strange:,}", row=seen.row)
            elif half and seen.largest > HALF_LARGEST:
                yield OVERFLOW.at(name, largest=seen.largest)
            elif entry.is_matrix and seen.values > 1 and seen.least == seen.greatest:
                (zeros if seen.least == 0 else constants).append(name)
            elif seen.largest > LARGE or (entry.is_matrix and seen.values > 64 and seen.times > OUTLIER):
                yield FAR.at(name, largest=seen.largest, times=seen.times)
    if zeros and not (model.form == "adapter" and all(".lora_B" in name or "lora_embedding" in name for name in zeros)):
        yield ZERO.at(zeros[0], count=len(zeros), names=listed(zeros))
    if constants:
        yield CONSTANT.at(constants[0], count=len(constants), names=listed(constants))
    percent = seen_values / total
    yield Fact("values_seen", Words("values seen", "已查看的值"), Words(f"{percent:.0%}", f"{percent:.0%}"))
    if share < 1:
        told = Words(f"{1 - percent:.0%} of the weights' values (--deep)", f"{1 - percent:.0%} 的权重值（--deep）")
        yield Unseen(told)


def look(model: Model, name: str, entry: Stored, share: float) -> Seen:
    """Every value, or rows spread evenly over the tensor."""
    assert model.tensors is not None
    rows = entry.shape[0] if entry.shape else 1
    width = max(entry.numbers // max(rows, 1), 1)
    step = max(PIECE // width, 1)
    seen = Seen()
    for start in _starts(rows, step, share):
        seen = seen.with_part(model.tensors.rows(name, start, min(start + step, rows)).numpy(), start)
    return seen


def _starts(rows: int, step: int, share: float) -> list[int]:
    starts = list(range(0, rows, step))
    wanted = max(1, round(len(starts) * share))
    if wanted >= len(starts):
        return starts
    return [starts[round(place * (len(starts) - 1) / max(wanted - 1, 1))] for place in range(wanted)]


CHECK: Check[Model] = Check(
    title=Words("Weights", "权重"), run=check, kinds=(NOT_NUMBERS, ZERO, CONSTANT, FAR, OVERFLOW)
)
