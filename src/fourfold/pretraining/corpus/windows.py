"""Training windows over token shards: which tokens step n sees is a function of the seed and n.

The documents form one stream with the start token before each:

    S a a a a S b b S c c c c c …         cut into windows of `context`; window w's labels are
    └─ window 0 ─┘└─ window 1 ─┘          its tokens one place on, so the model learns to end a
                                          document (to predict S) and every token is a label once

Every epoch visits all windows once in a new order. Attention may look across a start token, as in
GPT-3 (Brown et al. 2020, appendix B); `separate=True` marks the documents so that it does not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.pretraining.corpus.shards import TokenShards
from fourfold.training import LabelledBatch


class WindowBatches:
    """A batch source of causal windows; `at(step)` depends on the seed and the step only."""

    def __init__(
        self,
        shards: TokenShards,
        batch_size: int,
        context: int,
        seed: int,
        document_start_id: int | None,
        *,
        micro_batch_size: int | None = None,
        separate: bool = False,
    ) -> None:
        self._shards = shards
        self._start_id = document_start_id
        self._separate = separate
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size or batch_size
        self.context = context
        marks = 0 if document_start_id is None else 1
        self._starts = np.concatenate([[0], shards.ends]) + marks * np.arange(len(shards) + 1)
        self._length = int(self._starts[-1])
        self.windows = (self._length - 1) // context
        """Windows an epoch."""
        if self.windows < 1:
            raise UserError(
                "the text is too short for one window",
                expected=f"more than {context} tokens",
                got=self._length,
                advice="Use a smaller context or more text.",
            )
        slack = (self._length - 1) % context
        self._order = lru_cache(maxsize=2)(lambda epoch: _order(seed, epoch, self.windows, slack))

    def at(self, step: int) -> list[LabelledBatch]:
        """The micro-batches of a step."""
        return self.rows_from(step * self.batch_size, self.batch_size)

    def rows_from(self, first: int, count: int) -> list[LabelledBatch]:
        """So many windows from number `first` on, as micro-batches."""
        starts = [self._window_start(index) for index in range(first, first + count)]
        size = self.micro_batch_size
        return [self.batch_from(starts[index : index + size]) for index in range(0, len(starts), size)]

    def epochs(self, steps: int) -> float:
        """How often so many steps see the text."""
        return steps * self.batch_size / self.windows

    def _window_start(self, index: int) -> int:
        epoch, place = divmod(index, self.windows)
        offset, order = self._order(epoch)
        return offset + int(order[place]) * self.context

    def batch_from(self, starts: list[int]) -> LabelledBatch:
        """Rows that begin at these positions of the stream."""
        rows = np.stack([self._stream(start, start + self.context + 1) for start in starts])  # (B, T + 1)
        ids = torch.from_numpy(rows)
        documents = None
        if self._separate:
            positions = np.asarray(starts)[:, None] + np.arange(self.context)
            documents = torch.from_numpy(np.searchsorted(self._starts, positions, side="right") - 1)
        return LabelledBatch(ids=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous(), documents=documents)

    def _stream(self, start: int, end: int) -> NDArray[np.int64]:
        """The stream between two positions, start tokens put in."""
        if self._start_id is None:
            return self._shards.tokens[start:end].astype(np.int64)
        row = np.full(end - start, self._start_id, np.int64)
        document = int(np.searchsorted(self._starts, start, side="right")) - 1
        while document < len(self._shards) and self._starts[document] < end:
            text_start = int(self._starts[document]) + 1
            low, high = max(text_start, start), min(int(self._starts[document + 1]), end)
            if low < high:
                shift = document + 1  # start tokens so far
                row[low - start : high - start] = self._shards.tokens[low - shift : high - shift]
            document += 1
        return row


def _order(seed: int, epoch: int, windows: int, slack: int) -> tuple[int, NDArray[np.int64]]:
    """Where the first window of an epoch starts, and the order of the windows.

    The offset takes the remainder at the end of the stream in turn, so no token is left out for good.
    """
    random = np.random.default_rng((seed, epoch))
    return int(random.integers(0, slack + 1)), random.permutation(windows)
