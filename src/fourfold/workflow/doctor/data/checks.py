"""The checks of data, in the order in which they are run and told."""

from __future__ import annotations

from fourfold.workflow.doctor.data import characters, masks, overlap, pairs, reading, repeats, turns
from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.findings import Check, Words

OPENING: Check[Data] = Check(
    title=Words("Reading", "读取"), run=lambda data: iter([*data.troubles, *data.unseen]), kinds=reading.KINDS
)
DATA_CHECKS: tuple[Check[Data], ...] = (
    OPENING, turns.CHECK, characters.CHECK, repeats.CHECK, pairs.CHECK, overlap.CHECK, masks.CHECK,
)  # fmt: skip
