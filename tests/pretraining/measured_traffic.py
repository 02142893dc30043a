"""Runs in each of several processes: what a step really hands to the collectives, and what is really held, by plan.

measured_traffic.py WORLD FOLDER        RANK.json has bytes by dimension of the grid and by part
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import torch
from torch import distributed as dist
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from fourfold.models import build_model
from fourfold.training import LabelledBatch, LanguageModelling, ParallelPlan, Precision, constant, make_optimizer, train
from fourfold.training.parallel import ParallelTeam, Ranks, group_by_kind, joined
from fourfold.training.parallel.pieces import local

ROWS, LENGTH, VOCABULARY = 8, 16, 61
LLAMA = {"family": "llama", "layers": 4, "hidden_size": 32, "heads": 4, "kv_heads": 2, "context": 32}
UNTIED = LLAMA | {"family": "gpt2", "kv_heads": 4}
PLANS = {
    2: {
        "data": ({"data": 2}, LLAMA),
        "zero1": ({"data": 2, "shard": "zero1", "micro_batches": 2}, LLAMA),
        "zero2": ({"data": 2, "shard": "zero2", "micro_batches": 2}, LLAMA),
        "zero3": ({"data": 2, "shard": "zero3", "micro_batches": 2}, LLAMA),
        "tensor": ({"tensor": 2}, LLAMA),
        "tensor in bf16": ({"tensor": 2}, LLAMA),
        "tensor in bf16, computed again": ({"tensor": 2}, LLAMA),
        "zero3, computed again": ({"data": 2, "shard": "zero3"}, UNTIED),
        "pipeline": ({"pipeline": 2}, LLAMA),
        "pipeline, gpipe": ({"pipeline": 2, "micro_batches": 4, "schedule": "gpipe"}, UNTIED),
        "context": ({"context": 2}, LLAMA),
        "context in bf16": ({"context": 2}, LLAMA),
        "context, computed again": ({"context": 2}, LLAMA),
    },
    4: {
        "zero3 x tensor": ({"data": 2, "tensor": 2, "shard": "zero3"}, LLAMA),
        "pipeline x zero3": ({"pipeline": 2, "data": 2, "shard": "zero3", "micro_batches": 4}, LLAMA),
        "pipeline x zero2, gpipe": (
            {"pipeline": 2, "data": 2, "shard": "zero3", "micro_batches": 4, "schedule": "gpipe"},
            UNTIED,
        ),
        "context x tensor": ({"context": 2, "tensor": 2}, UNTIED),
        "pipeline x tensor in bf16": ({"pipeline": 2, "tensor": 2, "micro_batches": 4}, LLAMA),
        "data x pipeline in bf16": ({"pipeline": 2, "data": 2, "micro_batches": 4}, UNTIED),
        "four stages": ({"pipeline": 4}, UNTIED),
    },
}


class Meter(TorchDispatchMode):
    """Adds up what goes into collectives, by the group they run over, as a ring sends it."""

    def __init__(self, names):
        super().__init__()
        self.names, self.sent = names, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # let it come back as operations on local tensors
        if func.namespace in ("c10d", "_c10d_functional"):
            self.count(func.__name__.split(".")[0].strip("_"), args)
        return func(*args, **(kwargs or {}))

    def count(self, name, args):
        name = name.replace("_", "")
        if not name.startswith(("allreduce", "allgather", "reducescatter", "send")):
            return
        if numbers_of(args):
            return
        group = next((found for found in map(self.group, args) if found is not None), None)
        share = (group.size() - 1) / group.size()
        dimension = self.names[members(group)]
        size = max(map(bytes_of, args))  # of input and output the larger is the whole
        factor = 1.0 if name == "send" else 2 * share if name.startswith("allreduce") else share
        self.sent[dimension] += factor * size

    @staticmethod
    def group(value):
        if isinstance(value, str):
            try:
                return dist.distributed_c10d._resolve_process_group(value)
            except Exception:
                return None
        if isinstance(value, torch.ScriptObject):
            try:
                return dist.ProcessGroup.unbox(value)
            except Exception:
                return None
        return None


def bytes_of(value):
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(bytes_of, value)) if isinstance(value, (list, tuple)) else 0


def members(group):
    """Who is in it: torch may have several groups of the same processes."""
    return tuple(dist.get_process_group_ranks(group))


def numbers_of(value):
    """Whether it is the few numbers that all processes tell each other: nothing else is in 64 bits."""
    if isinstance(value, torch.Tensor):
        return value.dtype == torch.float64
    return any(map(numbers_of, value)) if isinstance(value, (list, tuple)) else False


class Rows:
    def at(self, step):
        ids = torch.randint(VOCABULARY, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(step))
        return [LabelledBatch(ids=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous())]


def measure(plan, table, crew, precision, *, recompute):
    """Bytes of the second step, and of what stays in this process after it."""
    model = build_model(table, VOCABULARY, seed=1)
    model.stack.recompute = recompute
    ranks = Ranks(plan, crew)
    team = ParallelTeam(ranks, model)
    optimizer = make_optimizer("adamw", model, 1e-3)
    group_by_kind(optimizer)
    names = {members(ranks.mesh[name].get_group()): name for name in ("pipeline", "tensor", "context")}
    names[members(ranks.replica_mesh.get_group())] = "data"  # on one axis with the context, where that is all
    if team._tied is not None and team._tied._group is not None:
        names[members(team._tied._group)] = "pipeline"
    steps = train(
        model,
        LanguageModelling(),
        Rows(),
        optimizer,
        steps=2,
        schedule=constant(1e-3),
        team=team,
        precision=precision,
    )
    next(steps)
    with Meter(names) as meter:
        next(steps)
    kept = [local(state[key]) for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    weights = sum(bytes_of(local(value)) for value in model.parameters())
    gradients = sum(bytes_of(local(value.grad)) for value in model.parameters())
    return {
        "stage": ranks.place["pipeline"],
        "sent": dict(meter.sent),
        "held": {"weights": weights, "gradients": gradients, "optimizer": bytes_of(kept)},
    }


def main():
    world, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    found = {}
    with joined(timeout=60) as crew:
        for name, (values, table) in PLANS[world].items():
            half = Precision(name="bf16", reason="test", autocast=torch.bfloat16 if "bf16" in name else None)
            found[name] = measure(ParallelPlan(**values), table, crew, half, recompute="again" in name)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
