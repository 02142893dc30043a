"""Runs in each of several processes: the same training by one process and by a plan, piece by piece the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from fourfold.models import build_model
from fourfold.training import (
    Guard,
    LabelledBatch,
    LanguageModelling,
    ParallelPlan,
    constant,
    make_optimizer,
    train,
)
from fourfold.training.parallel import ParallelTeam, Ranks, group_by_kind, joined
from fourfold.training.parallel.pieces import local, piece_of

STEPS, RATE = 3, 1e-3
SMALL = {"layers": 4, "hidden_size": 32, "heads": 4, "context": 32}
MODELS = {
    "llama": {"family": "llama", "kv_heads": 2, **SMALL},
    "gpt2": {"family": "gpt2", **SMALL},
    "alibi": {"family": "llama", "positions": "alibi", "residual": "parallel", "bias": True, **SMALL},
    "experts": {"family": "llama", "experts": {"count": 4, "active": 2}, **SMALL},
    "lstm": {"family": "lstm", "layers": 2, "hidden_size": 16},
}
VOCABULARY = 61


class Rows:
    """Eight rows a step, with a different number of masked labels in each."""

    def at(self, step):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(VOCABULARY, (8, 17), generator=generator)
        masked = torch.rand((8, 16), generator=generator) < torch.arange(8)[:, None] / 12
        return [LabelledBatch(ids=ids[:, :-1].contiguous(), labels=ids[:, 1:].masked_fill(masked, -100))]


def fit(model, team=None, optimizer="adamw", clip=0.5):
    """Losses and norms of three steps, and the gradient of the first, by name."""
    chosen = make_optimizer(optimizer, model, RATE)
    more = {}
    if team is not None:
        group_by_kind(chosen)
        more = {"team": team}
    numbers, gradients = [], {}
    steps = train(
        model,
        LanguageModelling(),
        Rows(),
        chosen,
        steps=STEPS,
        schedule=constant(RATE),
        guard=Guard(clip=clip),
        **more,
    )
    for step in steps:
        numbers += [step.losses["loss"], step.gradient_norm, float(step.tokens)]
        if not gradients:
            gradients = {name: value.grad.detach().clone() for name, value in model.named_parameters()}
    return numbers, gradients


def compare(plan, crew, kind="llama", optimizer="adamw", **model):
    """Largest differences between the plan and one process: numbers, gradients, weights after three steps."""
    config = MODELS[kind] | model
    alone, shared = (build_model(config, VOCABULARY, seed=3) for _ in range(2))
    plan.check_model(shared.config)
    expected, whole = fit(alone, optimizer=optimizer)
    numbers, gradients = fit(shared, ParallelTeam(Ranks(plan, crew), shared), optimizer)
    weights = dict(alone.named_parameters())
    return {
        "numbers": largest(torch.tensor(numbers), torch.tensor(expected)),
        "gradients": max(piecewise(value, whole[name]) for name, value in gradients.items()),
        "weights": max(piecewise(value, weights[name]) for name, value in shared.named_parameters()),
        "share": sum(local(value).numel() for value in shared.parameters()) / sum(map(torch.numel, weights.values())),
    }


def piecewise(mine, whole):
    return largest(local(mine), whole[piece_of(mine).slices])


def largest(left, right):
    assert left.shape == right.shape
    return float((left - right).detach().abs().max()) if left.numel() else 0.0


def main():
    names, folder = sys.argv[1].split(";"), Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined(timeout=60) as crew:
        results = {}
        for name in names:
            plan, more = PLANS[name]
            results[name] = compare(ParallelPlan(**plan), crew, **more)
        (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(results))


PLANS = {
    "data": ({"data": 2}, {}),
    "data, micro-batches": ({"data": 2, "micro_batches": 2}, {}),
    "zero1": ({"data": 2, "shard": "zero1", "micro_batches": 2}, {}),
    "zero2": ({"data": 2, "shard": "zero2", "micro_batches": 2}, {}),
    "zero3": ({"data": 2, "shard": "zero3"}, {}),
    "zero3, lstm": ({"data": 2, "shard": "zero3"}, {"kind": "lstm"}),
    "zero3, gpt2": ({"data": 2, "shard": "zero3"}, {"kind": "gpt2"}),
    "tensor": ({"tensor": 2}, {}),
    "tensor, gpt2": ({"tensor": 2}, {"kind": "gpt2"}),
    "pipeline": ({"pipeline": 2}, {}),
    "pipeline, gpt2": ({"pipeline": 2, "micro_batches": 4, "schedule": "gpipe"}, {"kind": "gpt2"}),
    "context": ({"context": 2}, {}),
    "context, gpt2": ({"context": 2, "shard": "zero2"}, {"kind": "gpt2"}),
    "zero3 x tensor": ({"data": 2, "tensor": 2, "shard": "zero3"}, {}),
    "data x tensor, alibi": ({"data": 2, "tensor": 2}, {"kind": "alibi"}),
    "pipeline x tensor": ({"pipeline": 2, "tensor": 2}, {}),
    "pipeline x zero1, gpt2": ({"pipeline": 2, "data": 2, "shard": "zero1"}, {"kind": "gpt2"}),
    "pipeline x zero3": ({"pipeline": 2, "data": 2, "shard": "zero3"}, {}),
    "pipeline x data": ({"pipeline": 2, "data": 2}, {"kind": "gpt2"}),
    "four stages": ({"pipeline": 4}, {}),
    "context x zero2": ({"context": 2, "data": 2, "shard": "zero2"}, {}),
    "context x tensor": ({"context": 2, "tensor": 2}, {}),
    "experts, zero3": ({"data": 4, "shard": "zero3"}, {"kind": "experts"}),
    "experts x tensor": ({"data": 2, "tensor": 2}, {"kind": "experts"}),
    "grid": ({"pipeline": 2, "data": 2, "tensor": 2, "shard": "zero2"}, {}),
    "grid with context": ({"pipeline": 2, "context": 2, "tensor": 2, "shard": "zero3"}, {}),
    "lion": ({"data": 2, "shard": "zero3"}, {"optimizer": "lion"}),
    "adafactor": ({"data": 2, "shard": "zero3"}, {"optimizer": "adafactor"}),
    "muon": ({"data": 2, "shard": "zero3"}, {"optimizer": "muon"}),
    "adamw-8bit": ({"data": 2, "shard": "zero3"}, {"optimizer": "adamw-8bit", "hidden_size": 128}),
    "tensor, muon": ({"tensor": 2}, {"optimizer": "muon"}),
    "tensor, adafactor": ({"tensor": 2}, {"optimizer": "adafactor"}),
}

if __name__ == "__main__":
    main()
