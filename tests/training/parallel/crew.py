"""Runs in each of several processes: the same training by one process and by a plan must be the same, piece by piece.

crew.py WORLD FOLDER        all plans of WORLD processes, one after the other; RANK.json has the differences
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from fourfold.files import read_json
from fourfold.models import build_model
from fourfold.training import (
    Guard,
    LabelledBatch,
    LanguageModelling,
    ParallelPlan,
    constant,
    load_latest_checkpoint,
    make_optimizer,
    save_checkpoint,
    train,
)
from fourfold.training.parallel import ParallelTeam, Ranks, group_by_kind, joined
from fourfold.training.parallel.pieces import local, piece_of
from fourfold.training.stored import StoredTensors

STEPS, RATE, VOCABULARY = 3, 1e-3, 61
SMALL = {"layers": 4, "hidden_size": 32, "heads": 4, "context": 32}
MODELS = {
    "llama": {"family": "llama", "kv_heads": 2, **SMALL},
    "gpt2": {"family": "gpt2", **SMALL},
    "alibi": {"family": "llama", "positions": "alibi", "residual": "parallel", "bias": True, **SMALL},
    "experts": {"family": "llama", "experts": {"count": 4, "active": 2}, **SMALL},
    "balanced": {"family": "llama", "experts": {"count": 4, "active": 2}, **SMALL},
    "lstm": {"family": "lstm", "layers": 2, "hidden_size": 16},
}
PLANS = {
    2: {
        "data": ({"data": 2}, "llama"),
        "data in micro-batches": ({"data": 2, "micro_batches": 2}, "llama"),
        "zero1": ({"data": 2, "shard": "zero1", "micro_batches": 2}, "llama"),
        "zero2": ({"data": 2, "shard": "zero2", "micro_batches": 2}, "llama"),
        "zero3": ({"data": 2, "shard": "zero3"}, "llama"),
        "tensor": ({"tensor": 2}, "llama"),
        "pipeline": ({"pipeline": 2}, "llama"),
        "context": ({"context": 2}, "llama"),
        "context, computed again": ({"context": 2}, "llama"),
        "zero3, gpt2": ({"data": 2, "shard": "zero3"}, "gpt2"),
        "tensor, gpt2": ({"tensor": 2}, "gpt2"),
        "pipeline, gpt2": ({"pipeline": 2, "micro_batches": 4, "schedule": "gpipe"}, "gpt2"),
        "context, gpt2": ({"context": 2, "shard": "zero2"}, "gpt2"),
        "zero3, lstm": ({"data": 2, "shard": "zero3"}, "lstm"),
        "data, balanced experts": ({"data": 2}, "balanced"),
        "zero3, balanced experts": ({"data": 2, "shard": "zero3"}, "balanced"),
        "zero3, balanced experts, computed again": ({"data": 2, "shard": "zero3"}, "balanced"),
        "tensor, alibi": ({"tensor": 2}, "alibi"),
    },
    4: {
        "data": ({"data": 4}, "llama"),
        "zero3 x tensor": ({"data": 2, "tensor": 2, "shard": "zero3"}, "llama"),
        "pipeline x tensor": ({"pipeline": 2, "tensor": 2}, "llama"),
        "pipeline x zero3": ({"pipeline": 2, "data": 2, "shard": "zero3"}, "llama"),
        "four stages": ({"pipeline": 4}, "llama"),
        "context x zero2": ({"context": 2, "data": 2, "shard": "zero2"}, "llama"),
        "context x tensor": ({"context": 2, "tensor": 2}, "llama"),
        "context x zero3, computed again": ({"context": 2, "data": 2, "shard": "zero3"}, "llama"),
        "pipeline x context, computed again": ({"pipeline": 2, "context": 2}, "llama"),
        "pipeline x zero1, gpt2": ({"pipeline": 2, "data": 2, "shard": "zero1"}, "gpt2"),
        "pipeline x data, gpt2": ({"pipeline": 2, "data": 2}, "gpt2"),
        "zero3, experts": ({"data": 4, "shard": "zero3"}, "experts"),
        "data x tensor, experts": ({"data": 2, "tensor": 2}, "experts"),
        "data x tensor, balanced experts": ({"data": 2, "tensor": 2}, "balanced"),
    },
    8: {
        "grid": ({"pipeline": 2, "data": 2, "tensor": 2, "shard": "zero2"}, "llama"),
        "grid with context": ({"pipeline": 2, "context": 2, "tensor": 2, "shard": "zero3"}, "llama"),
    },
}


class Rows:
    """Three, seven and then eight rows a step, in two parts, with a different number of masked labels in each row.

    The parts are halves where experts are balanced: that loss is a mean over parts, as over two processes.
    """

    def __init__(self, kind):
        self.halves = kind == "balanced"

    def at(self, step):
        count = (3, 7, 8)[min(step, 2)]
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(VOCABULARY, (count, 17), generator=generator)
        masked = torch.rand((count, 16), generator=generator) < torch.arange(count)[:, None] / 12
        labels = ids[:, 1:].masked_fill(masked, -100)
        cut = (count + 1) // 2 if self.halves else count - 2
        parts = [slice(None, cut), slice(cut, None)]
        return [LabelledBatch(ids=ids[part, :-1].contiguous(), labels=labels[part]) for part in parts]


def fit(model, optimizer, kind="llama", **more):
    """Loss, norm and tokens of three steps, and the gradient of the first, by name."""
    numbers, gradients = [], {}
    guard, schedule = Guard(clip=0.5), constant(RATE)
    routing = {"balance": 1.0, "router_z": 0.1} if kind == "balanced" else {}
    objective = LanguageModelling(weights={"cross_entropy": 1.0} | routing)
    for step in train(model, objective, Rows(kind), optimizer, steps=STEPS, schedule=schedule, guard=guard, **more):
        numbers += [step.losses["loss"], step.gradient_norm, float(step.tokens)]
        if not gradients:
            gradients = {name: value.grad.detach().clone() for name, value in model.named_parameters()}
    return numbers, gradients


def made(kind, seed=3):
    model = build_model(MODELS[kind], VOCABULARY, seed=seed)
    return model, lambda: make_optimizer("adamw", model, RATE)


def compare(plan, crew, kind, folder, before, *, recompute=False):
    """Largest differences between the plan and one process; the plan's checkpoint goes to `folder`."""
    alone, optimizer = made(kind)
    expected, whole = fit(alone, optimizer(), kind)
    shared, optimizer = made(kind)
    plan.check_model(shared.config)
    if recompute:
        shared.stack.recompute = True
    team = ParallelTeam(Ranks(plan, crew), shared)
    chosen = optimizer()
    group_by_kind(chosen)
    numbers, gradients = fit(shared, chosen, kind, team=team)
    weights = dict(alone.named_parameters())
    found = {
        "numbers": largest(torch.tensor(numbers), torch.tensor(expected)),
        "gradients": max(piecewise(value, whole[name]) for name, value in gradients.items()),
        "weights": max(piecewise(value, weights[name]) for name, value in shared.named_parameters()),
        "share": sum(local(value).numel() for value in shared.parameters()) / sum(map(torch.numel, weights.values())),
    }
    save_checkpoint(folder, shared, chosen, STEPS, {"kind": kind}, team=team)
    if before is not None:
        found |= restored(before, shared, chosen, team, weights)
    return found


def restored(folder, model, optimizer, team, weights):
    """How far what another plan wrote is from one process's weights, and what is read here from what it wrote."""
    for value in model.parameters():
        torch.nn.init.zeros_(local(value.detach()))
    assert load_latest_checkpoint(folder, model, optimizer, team=team).step == STEPS
    path = next(folder.glob("step-*"))
    stored = StoredTensors(path, read_json(path / "checkpoint.json")["parts"])
    differences, written = [], []
    for name, value in model.named_parameters():
        written.append(largest(stored.read(f"model/{name}"), weights[name]))
        differences.append(piecewise(value, stored.read(f"model/{name}")))
        for key in ("exp_avg", "exp_avg_sq"):
            differences.append(piecewise(optimizer.state[value][key], stored.read(f"optimizer/{name}/{key}")))
        assert float(optimizer.state[value]["step"]) == STEPS
    return {"restored": max(differences), "written": max(written)}


def piecewise(mine, whole):
    return largest(local(mine), whole[piece_of(mine).slices])


def largest(left, right):
    assert left.shape == right.shape
    return float((left - right).detach().abs().max()) if left.numel() else 0.0


def main():
    world, folder = int(sys.argv[1]), Path(sys.argv[2])
    only = sys.argv[3].split(";") if len(sys.argv) > 3 else list(PLANS[world])
    torch.set_num_threads(1)
    results, before = {}, {}
    with joined(timeout=60) as crew:
        for name in only:
            values, kind = PLANS[world][name]
            written = folder / name
            again = "computed again" in name
            results[name] = compare(ParallelPlan(**values), crew, kind, written, before.get(kind), recompute=again)
            before[kind] = written
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
