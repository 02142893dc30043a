"""The processes of one training as a grid, and the few numbers they tell each other.

    pipeline ─ data ─ context ─ tensor        the rightmost changes fastest with the rank: neighbours are on one machine

torchrun (or whoever starts the processes) gives each its rank; `joined` makes them a team.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import final
from uuid import uuid4

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed import PrefixStore, Store, rendezvous  # type: ignore[attr-defined]  # documented, not listed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from fourfold.errors import FourfoldError, UserError
from fourfold.training.plan import ParallelPlan

DIMENSIONS = ("pipeline", "data", "context", "tensor")
LONG = timedelta(days=30)
"""How long the others wait for work that the first process does alone."""


class RankLost(FourfoldError):
    """A process of the team does not answer any more."""


def rank_device() -> torch.device:
    """The GPU that the launcher meant for this process, or the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def joined(timeout: float = 600.0) -> Iterator[Crew]:
    """Join the processes that the launcher started; `timeout` seconds of silence in a step mean that one is lost."""
    device = rank_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with losing_ranks():
        store, rank, world = _meeting_place(timeout)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        silence = timedelta(seconds=timeout)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=silence)
        try:
            yield Crew()
        finally:
            dist.destroy_process_group()


def _meeting_place(timeout: float) -> tuple[Store, int, int]:
    """The launcher's store, this rank and the number of ranks; what an earlier start left in the store is not seen.

    A launcher that starts all processes again keeps its store, with addresses in it where nobody answers any more
    (torch 2.13, one machine). So the first process names a room of this start, and tells the name to those who ask now.
    """
    store, rank, world = next(iter(rendezvous("env://")))
    token = uuid4().hex
    if rank > 0:
        store.set(f"hello/{rank}", token)
        room = store.get(f"welcome/{token}").decode()
        store.add(f"{room}/in", 1)
        return PrefixStore(room, store), rank, world
    until = time.monotonic() + timeout
    while store.add(f"{token}/in", 0) < world - 1:
        if time.monotonic() > until:
            raise RankLost(f"{world} processes were to meet, and not all came within {timeout:g} s.")
        for key in (f"hello/{other}" for other in range(1, world)):
            if store.check([key]):
                store.set(f"welcome/{store.get(key).decode()}", token)
        time.sleep(0.02)
    return PrefixStore(token, store), rank, world


@contextmanager
def losing_ranks() -> Iterator[None]:
    """Turn the ways in which a collective fails into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if (reason := _lost(error)) is None:
            raise
        raise RankLost(
            f"Another process of this training is lost: {reason}. Nothing that a checkpoint holds is lost; "
            "start the same command again to go on."
        ) from error


def _lost(error: BaseException | None) -> str | None:
    """How a process was lost, from what the communication library says; None where it says something else."""
    while error is not None:
        text = str(error).lower()
        if any(word in text for word in ("timed out", "timeout")):
            return "it gave no answer in time"
        if isinstance(error, dist.DistError) or any(word in text for word in ("connection", "peer", "gloo", "nccl")):
            return "its connection is closed"
        error = error.__cause__
    return None


@final
class Crew:
    """All processes of a launch. What one does alone the others wait for, however long it takes."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._patience = dist.new_group(backend="gloo", timeout=LONG)

    def wait(self) -> None:
        """Until all are here."""
        with losing_ranks():
            dist.barrier(group=self._patience)

    def told(self, number: int) -> int:
        """The first process's number, everywhere."""
        said = torch.tensor([number])
        with losing_ranks():
            dist.broadcast(said, 0, group=self._patience)
        return int(said)


@final
class Ranks:
    """This process's place in the grid of a plan."""

    def __init__(self, plan: ParallelPlan, crew: Crew) -> None:
        world = dist.get_world_size()
        if plan.world != world:
            raise UserError(
                "the plan does not fit the processes that were started",
                where="parallel",
                expected=f"{plan.world} processes (pipeline {plan.pipeline} x data {plan.data} x context "
                f"{plan.context} x tensor {plan.tensor})",
                got=world,
                advice=f"Start it with: torchrun --nproc-per-node {plan.world}",
            )
        self.plan = plan
        self.device = rank_device()
        shape = (plan.pipeline, plan.data, plan.context, plan.tensor)
        self.mesh: DeviceMesh = init_device_mesh(self.device.type, shape, mesh_dim_names=DIMENSIONS)
        self.place = {name: self.mesh.get_local_rank(name) for name in DIMENSIONS}
        if plan.context == 1:
            self.replica_mesh = self.mesh["data"]
        else:
            self.replica_mesh = self.mesh["data", "context"]._flatten("replica")
        self.rank, self.wait = crew.rank, crew.wait

    @property
    def replica(self) -> int:
        """Number among the processes that hold the same part of the model."""
        return self.place["data"] * self.plan.context + self.place["context"]

    @property
    def speaks(self) -> bool:
        """Whether this process knows losses and counts that no other one adds: one voice a replica."""
        return self.place["tensor"] == 0 and self.place["pipeline"] == self.plan.pipeline - 1

    def holds_first(self, sharded: frozenset[str]) -> bool:
        """Whether this process is the first of those that hold the same piece of a tensor, which is split along the
        dimensions `sharded`; other stages of a pipeline hold other tensors."""
        return all(self.place[name] == 0 for name in ("data", "context", "tensor") if name not in sharded)

    def sum(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Sums over all processes, added in order of rank so that every process gets the same bits."""
        values = self.gather(torch.tensor(list(numbers.values()), dtype=torch.float64))
        return dict(zip(numbers, values.sum(0).tolist(), strict=True))

    def gather(self, values: Tensor) -> Tensor:
        """(ranks, N) from the (N,) numbers of each process, on the CPU."""
        with losing_ranks():
            everything = [torch.empty_like(values) for _ in range(dist.get_world_size())]
            dist.all_gather(everything, values)
        return torch.stack(everything)

    def any(self, wish: bool) -> bool:
        """Whether any process says so."""
        return self.sum({"wish": float(wish)})["wish"] > 0
