"""Data that is dead: nothing in it, one token over and over, or the same batch again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fourfold.errors import UserError
from fourfold.training.batches import BatchSource, LabelledBatch

SAME = 4
"""Steps in a row that are alike before the source is taken for dead; a single odd batch stops nothing."""


@dataclass
class LiveData:
    """A batch source that refuses to hand on dead data: a loader that stands still looks like a splendid loss.

    With `one_batch` the text is no longer than a batch, which is then rightly the same at every step.
    """

    source: BatchSource
    one_batch: bool = False
    seen: dict[int, tuple[bytes, int | None]] = field(default_factory=dict)
    """Of the last steps that were asked for: a digest, and the token that is all there is, if so."""

    def at(self, step: int) -> Sequence[Any]:
        batches = self.source.at(step)
        where = f"training step {step}"
        if sum(batch.tokens for batch in batches) == 0:
            raise UserError(
                "the data gave no tokens", where=where, advice="Check the files of the corpus and its filters."
            )
        labelled = [batch for batch in batches if isinstance(batch, LabelledBatch)]
        if len(labelled) == len(batches):
            self._refuse_dead(labelled, step, where)
        return batches

    def _refuse_dead(self, batches: Sequence[LabelledBatch], step: int, where: str) -> None:
        digest = hashlib.blake2b(digest_size=16)
        for batch in batches:
            digest.update(batch.ids.numpy(force=True).tobytes())
        self.seen[step] = digest.digest(), _only_token(batches)
        for old in [number for number in self.seen if number <= step - SAME]:
            del self.seen[old]
        last = [self.seen[number] for number in range(step - SAME + 1, step + 1) if number in self.seen]
        if len(last) < SAME:
            return
        if len({token for _, token in last}) == 1 and last[0][1] is not None:
            raise UserError(
                f"every token of {SAME} steps is the same", where=where, got=f"id {last[0][1]}",
                advice="Look at the text: fourfold doctor finds files of one character.",
            )  # fmt: skip
        if not self.one_batch and len({key for key, _ in last}) == 1:
            raise UserError(
                f"the data has given the same batch {SAME} times in a row", where=where,
                advice="The source stands still; a text that fits one batch needs more text or a smaller batch.",
            )  # fmt: skip


def _only_token(batches: Sequence[LabelledBatch]) -> int | None:
    """The token that stands everywhere but at the start of rows, where a document may begin; None: there are more."""
    rows = [row for batch in batches for row in batch.ids[:, 1:] if row.numel()]
    if not rows:
        return None
    token = int(rows[0][0])
    return token if all(bool((row == token).all()) for row in rows) else None
