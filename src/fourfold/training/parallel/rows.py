"""A process's share of a batch, and rows that are longer than one process holds.

Data parallelism gives a process some of the rows; context parallelism a stretch of each. Then the queries of a process
look at keys of the earlier stretches, which every layer gathers (Grattafiori et al. 2024, "The Llama 3 Herd of Models",
section 3.3.2). Departure: stretches are contiguous, so that the last process has about twice the mean attention.

Letters: B rows, T tokens of a stretch, G key-value heads, P head size, C processes of the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, final

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from fourfold.errors import UserError
from fourfold.models import State, Step, TransformerLM
from fourfold.training.batches import IGNORED, LabelledBatch
from fourfold.training.parallel.ranks import Ranks


def share(batches: Sequence[Any], ranks: Ranks) -> list[LabelledBatch]:
    """The rows and columns of this process, in as many pieces as the plan says.

    Rows that do not divide evenly, as those of a batch that grows, are filled up with rows without labels: the loss
    and its gradient do not see them.
    """
    plan = ranks.plan
    pieces: list[LabelledBatch] = []
    for batch in _in_one(batches):
        full = filled_up(batch, plan.data * plan.pieces)
        plan.check_batch(*full.ids.shape)
        own = rows_of(full, ranks.place["data"], plan.data)
        if plan.context > 1:
            own = columns_of(own, ranks.place["context"], plan.context)
        pieces += [rows_of(own, index, plan.pieces) for index in range(plan.pieces)]
    return pieces


def _in_one(batches: Sequence[Any]) -> list[LabelledBatch]:
    """The batches as one where their rows are alike: what is shared out is then filled up once."""
    for batch in batches:
        if not isinstance(batch, LabelledBatch):
            raise UserError("batches of this kind cannot be shared among processes", got=type(batch).__name__)
    forms = {tuple((name, value.shape[1:]) for name, value in _tensors(batch).items()) for batch in batches}
    if len(forms) > 1:
        return list(batches)
    parts = [_tensors(batch) for batch in batches]
    return [replace(batches[0], **{name: torch.cat([part[name] for part in parts]) for name in parts[0]})]


def filled_up(batch: LabelledBatch, multiple: int) -> LabelledBatch:
    """The batch with its last row repeated, without labels, until the rows divide."""
    rows = len(batch.ids)
    missing = -rows % multiple
    if not missing:
        return batch
    full = _map(batch, lambda value: torch.cat([value, value[-1:].expand(missing, *value.shape[1:])]))
    for target in (full.labels, full.targets):
        if target is not None:
            target[rows:] = IGNORED
    return full


def rows_of(batch: LabelledBatch, index: int, count: int) -> LabelledBatch:
    """Part `index` of `count` equal parts."""
    size = len(batch.ids) // count
    return _map(batch, lambda value: value[index * size : (index + 1) * size])


def columns_of(batch: LabelledBatch, index: int, count: int) -> LabelledBatch:
    """Stretch `index` of `count` equal stretches of every row."""
    kept = set(_tensors(batch))
    if kept != {"ids", "labels"}:
        raise UserError(
            "only rows of plain text can be split over 'context'",
            where="parallel",
            got=", ".join(sorted(kept - {"ids", "labels"})),
        )
    size = batch.ids.shape[1] // count
    return _map(batch, lambda value: value[:, index * size : (index + 1) * size].contiguous())


def _map(batch: LabelledBatch, part: Any) -> LabelledBatch:
    return replace(batch, **{name: part(value) for name, value in _tensors(batch).items()})


def _tensors(batch: LabelledBatch) -> dict[str, Tensor]:
    """What the batch has, by name."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}


def read_in_stretches(model: TransformerLM, ranks: Ranks) -> None:
    """Let `model` see, in every row it reads, the stretches of the processes before this one."""
    group, place = ranks.mesh["context"].get_group(), ranks.place["context"]
    read_alone = model.hidden

    def hidden(step: Step, state: State | None = None) -> Tensor:
        assert state is None
        lengths = torch.full((1,), place * step.ids.shape[1], device=step.ids.device)
        earlier: Any = GatheredKeys(group, place, lengths)
        return read_alone(step, earlier)

    setattr(model, "hidden", hidden)  # noqa: B010  # a method of one model, as torch wraps it for sharding


@final
class GatheredKeys:
    """Looks like a cache that holds the stretches before this one.

    A layer that is computed again gathers again: all processes go back through the layers in the same order.
    """

    repeatable = True

    def __init__(self, group: dist.ProcessGroup, place: int, lengths: Tensor) -> None:
        self._group, self._place = group, place
        self.lengths = lengths

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        both: Tensor = _Gather.apply(torch.stack((keys.to(values.dtype), values)), self._group, self._place)  # type: ignore[no-untyped-call]  # torch's apply has no types
        keys, values = both
        return keys, values

    def advance(self, lengths: Tensor) -> None:
        """Nothing is kept."""


class _Gather(torch.autograd.Function):
    """(2, B, G, T, P) of each process to the (2, B, G, S, P) up to this one; gradients go back to where they belong."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup, place: int) -> Tensor:
        ctx.group, ctx.place = group, place
        everything = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(everything, own.contiguous(), group=group)
        return torch.cat(everything[: place + 1], dim=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        stretches = [stretch.contiguous() for stretch in gradient.chunk(ctx.place + 1, dim=-2)]
        later = dist.get_world_size(ctx.group) - len(stretches)
        own = torch.empty_like(stretches[0])
        dist.reduce_scatter(own, stretches + [torch.zeros_like(own)] * later, group=ctx.group)
        return own, None, None
