"""What models remember of requests: pages of keys and values, or a state of their own.

`make_memory` chooses; the scheduler and the step see one interface.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, final

import torch
from torch import Tensor, nn

from fourfold.inference.engine.paged_rows import PagedRows
from fourfold.inference.engine.request import EngineLimits
from fourfold.inference.engine.row import Held, Row
from fourfold.inference.engine.searches import Searches
from fourfold.models import CausalLM, EncoderDecoder, JoinableState, Packed, State, TransformerLM
from fourfold.models.transformer import PAGE, Transformer

USUAL_BYTES = 512 * 2**20
"""Memory of keys and values, where the context of the model does not ask for more."""


class Memory(Protocol):
    """Where the engine keeps what was read of each row."""

    together: bool
    """Whether rows that are not `exact` may go through the model in one call."""
    divisible: bool
    """Whether a prompt may be read in pieces."""

    def why_never(self, row: Row) -> str | None:
        """Why a row of this size could never be held, in one sentence; None: it can."""

    def holds(self, dtype: torch.dtype) -> bool:
        """Whether it was made for weights of this kind."""

    def exact(self, row: Row) -> bool:
        """Whether the row's numbers are the same bits whatever else is in its calls, and wherever its pieces begin."""

    def begin(self, row: Row, beside: Sequence[Row]) -> bool:
        """Take a row in; what is known of its beginning counts as read. False: not now, `beside` need the room."""

    def shared(self, row: Row, other: Row) -> int:
        """Tokens of the beginning of `row` that need not be read once `other` has read its prompt."""

    def reserve(self, row: Row, new: int) -> bool:
        """Room for so many tokens more; False: not now."""

    def state(self, rows: Sequence[Row], new: int) -> State | None:
        """The rows as one state for a call of `new` tokens a row; None: call the model with fewer rows."""

    def settle(self, row: Row) -> None:
        """A call is over, `row.read` says how far: what others may use of it is made known."""

    def branch(self, row: Row, other: Row) -> None:
        """`row`, of the same prompt, goes on from where `other` is."""

    def swap_out(self, row: Row) -> None: ...
    def swap_in(self, row: Row, spare: int) -> bool: ...

    def release(self, row: Row, *, spoilt: bool = False) -> None:
        """Forget the row; `spoilt`: what was kept of it is no number and must not be seen by others."""

    def forget(self) -> None:
        """The model has changed: what no row reads is worth nothing."""

    def pages(self) -> tuple[int, int, int]:
        """Used, free and cached ones."""


def make_memory(model: CausalLM, limits: EngineLimits, device: torch.device) -> Memory:
    """Pages for transformers, their own states for all others."""
    stack = _writing_stack(model)
    if stack is None:
        return OwnStates(model, limits, device)
    dtype = limits.kv_dtype or stack.page_dtype
    page = stack.page_shape.bytes(dtype)
    pages = stack.new_pages(max(1, _room(stack, limits, dtype) // page), dtype)
    return PagedRows(model, stack, pages, limits)


def make_searches(model: CausalLM, limits: EngineLimits) -> Searches:
    """Searches have keys and values outside the pages of rows; states that stay small count nothing."""
    stack = _writing_stack(model)
    if stack is None:
        return Searches(0, 0)
    return Searches(stack.page_shape.bytes(stack.page_dtype) // PAGE, _room(stack, limits, stack.page_dtype))


def _writing_stack(model: CausalLM) -> Transformer | None:
    stack = model.stack if isinstance(model, TransformerLM) else None
    return model.decoder if isinstance(model, EncoderDecoder) else stack


def _room(stack: Transformer, limits: EngineLimits, dtype: torch.dtype) -> int:
    """Bytes for keys and values."""
    return limits.kv_bytes or _usual_bytes(stack.page_shape.bytes(dtype) * (stack.config.context // PAGE + 2))


def _usual_bytes(context: int) -> int:
    """A full context or `USUAL_BYTES`, but not more than half of what the machine has."""
    wanted = max(context, USUAL_BYTES)
    try:
        return min(wanted, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (AttributeError, ValueError, OSError):  # not on this system
        return wanted


@final
class OwnStates:
    """Rows of a model whose state is small: n-gram, recurrent. Rows that stay together stay one state."""

    divisible = True

    def __init__(self, model: CausalLM, limits: EngineLimits, device: torch.device) -> None:
        self.model, self.device = model, device
        probe = model.new_state(1, 1)
        self.together = isinstance(probe, JoinableState) and not limits.batch_invariant
        probe.free()

    def why_never(self, row: Row) -> str | None:
        return None

    def holds(self, dtype: torch.dtype) -> bool:
        return True

    def exact(self, row: Row) -> bool:
        return False

    def begin(self, row: Row, beside: Sequence[Row]) -> bool:
        row.held = Held(self.model.new_state(1, row.longest), [row])
        return True

    def shared(self, row: Row, other: Row) -> int:
        return 0

    def reserve(self, row: Row, new: int) -> bool:
        return True

    def state(self, rows: Sequence[Row], new: int) -> State | None:
        first = rows[0].held
        if first is None or first.rows != list(rows):
            self._regroup(rows)
        assert rows[0].held is not None
        return rows[0].held.state

    def settle(self, row: Row) -> None:
        pass

    def branch(self, row: Row, other: Row) -> None:
        self.state([other], 1)
        assert other.held is not None
        row.held = Held(other.held.state.fork(self._index([0])), [row])
        row.read = other.read

    def swap_out(self, row: Row) -> None:
        raise AssertionError("own states are never short of room")

    def swap_in(self, row: Row, spare: int) -> bool:
        return True

    def release(self, row: Row, *, spoilt: bool = False) -> None:
        row.held = None

    def forget(self) -> None:
        pass

    def pages(self) -> tuple[int, int, int]:
        return 0, 0, 0

    def _regroup(self, rows: Sequence[Row]) -> None:
        """One state of these rows, in this order; states they leave keep their other rows."""
        parts: list[State] = []
        at = 0
        while at < len(rows):
            held = rows[at].held
            assert held is not None
            end = at
            while end < len(rows) and rows[end].held is held:
                end += 1
            parts.append(held.state.fork(self._index([held.rows.index(row) for row in rows[at:end]])))
            at = end
        held = Held(_joined(parts), list(rows))
        for row in rows:
            row.held = held

    def _index(self, rows: list[int]) -> Tensor:
        return torch.tensor(rows, device=self.device)


def _joined(parts: list[State]) -> State:
    if len(parts) == 1:
        return parts[0]
    first, *others = (part for part in parts if isinstance(part, JoinableState))
    return first.join(others)


def weights_now(model: CausalLM) -> tuple[object, ...]:
    """Something that changes when the weights of a model do, or what acts beside them."""
    found: list[object] = []
    left: list[nn.Module] = [model] if isinstance(model, nn.Module) else []
    while left:  # `parameters()` takes five times as long, and a lone request waits for it
        module = left.pop()
        left.extend(child for child in module._modules.values() if child is not None)
        found.extend(_version(weight) for weight in module._parameters.values() if weight is not None)
        if isinstance(module, Packed):
            found.append(_version(module.codes))
    return tuple(found)


def _version(weight: Tensor) -> tuple[object, ...]:
    return (weight.data_ptr(), 0 if weight.is_inference() else weight._version, weight.dtype, weight.device)
