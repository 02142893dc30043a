"""Rows of training taken from several texts by fixed shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fourfold.pretraining.corpus import TokenShards, WindowBatches
from fourfold.training import LabelledBatch


class MixedWindows:
    """A batch source of causal windows over one or two texts; `at(step)` depends on the seed and the step only.

    Of the first n * batch_size rows, floor(n * batch_size * share) are from the second text. Each text's own rows
    come in the order in which it would be read alone, round by round.
    """

    def __init__(
        self,
        texts: Sequence[TokenShards],
        shares: Sequence[float],
        batch_size: int,
        context: int,
        seed: int,
        document_start_id: int | None,
    ) -> None:
        assert len(texts) == len(shares) <= 2
        self._windows = [WindowBatches(text, 1, context, seed, document_start_id) for text in texts]
        self._second_share = shares[1] if len(shares) == 2 else 0.0
        self._batch_size = batch_size

    def at(self, step: int) -> list[LabelledBatch]:
        """The rows of a step, in one batch."""
        rows = [
            row
            for windows, begin, end in zip(self._windows, self.read(step), self.read(step + 1), strict=True)
            for place in range(begin, end)
            for row in windows.at(place)
        ]
        return [
            LabelledBatch(
                ids=torch.cat([row.ids for row in rows]).contiguous(),
                labels=torch.cat([row.labels for row in rows]).contiguous(),
            )
        ]

    def read(self, step: int) -> list[int]:
        """Rows of each text that were read before a step."""
        rows = step * self._batch_size
        second = int(rows * self._second_share)
        return [rows - second, second][: len(self._windows)]
