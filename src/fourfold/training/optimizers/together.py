"""Several optimizers, each with parameters of its own, as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from torch.optim import Optimizer


@final
class Together(Optimizer):
    """Steps its parts in turn; groups and state are seen as of one optimizer, so that checkpoints need not know."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._parts = list(parts)
        begin = 0
        for part in self._parts:
            end = begin + len(part.param_groups)
            part.param_groups = self.param_groups[begin:end]
            part.state = self.state
            begin = end

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure here
        for part in self._parts:
            part.step()
