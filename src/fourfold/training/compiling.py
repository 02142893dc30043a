"""Compiled regions of a training: the layers of a transformer, each the same code, and the formula of the loss.

Everything else stays plain Python: a step keeps its shape, its names and its files, and a region that is compiled
computes the same numbers in another order. With deterministic algorithms on, as `train` has them, it computes the same
bits every time (docs/decisions/019).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import SGD

from fourfold.models import EncoderDecoder, TransformerLM
from fourfold.training.batches import BatchSource
from fourfold.training.cross_entropy import Formula, loss_and_probabilities
from fourfold.training.loop import train
from fourfold.training.objectives import LanguageModelling, Objective
from fourfold.training.precision import FLOAT32, Precision
from fourfold.training.schedules import constant

COMPILERS = {"darwin": "clang++", "win32": "cl"}
"""What PyTorch calls where `CXX` names no other; g++ elsewhere."""


def why_not(model: nn.Module) -> str | None:
    """What keeps this model from being compiled here, in a few words; None: nothing."""
    if not isinstance(model, TransformerLM | EncoderDecoder):
        return "only transformers are compiled"
    if next(model.parameters()).device.type == "cpu":
        return _no_compiler()
    return None


@cache
def _no_compiler() -> str | None:
    """A compiler that is there may still lack Python's headers: only compiling something tells."""
    name = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    if shutil.which(name) is None:
        return f"there is no C++ compiler ({name})"
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch's about itself
            torch.compile(_trial)(torch.ones(4))
    except Exception as error:  # whatever the compiler or PyTorch raises, training goes on without
        return f"{name} cannot compile: {str(error).strip().splitlines()[0]}"
    return None


def _trial(x: torch.Tensor) -> torch.Tensor:
    return (x + 1).exp().sum()


def compile_regions(model: nn.Module, objective: Objective) -> Objective:
    """Compile the layers in place, and return the objective with its formula compiled.

    Nothing is compiled before the first step (see `trial_step_seconds`); PyTorch keeps what it made on disk, so that
    the next process takes seconds.
    """
    _make_again_what_is_cheap()
    for layer in _layers(model):
        layer.compile()
    return replace(objective, formula=_formula()) if isinstance(objective, LanguageModelling) else objective


def _make_again_what_is_cheap() -> None:
    """Normed and activated numbers are made again for the backward pass, though products read them: a quarter of what
    a layer keeps, for no time that could be measured (LOG.md, 2026-11-28). PyTorch would keep them."""
    from torch._functorch import config

    settings: Any = config
    settings.ban_recompute_materialized_backward = False


def _layers(model: nn.Module) -> list[nn.Module]:
    if isinstance(model, EncoderDecoder):
        return [*model.encoder.layers, *model.decoder.layers]
    assert isinstance(model, TransformerLM), "ask `why_not` first"
    return list(model.stack.layers)


@cache
def _formula() -> Formula:
    """One for all objectives; the number of rows differs from batch to batch."""
    formula: Any = torch.compile(loss_and_probabilities, dynamic=True)
    return formula  # type: ignore[no-any-return]  # a compiled function has the type of the plain one


def trial_step_seconds(
    model: nn.Module, objective: Objective, batches: BatchSource, *, precision: Precision = FLOAT32, step: int = 0
) -> float:
    """How long a step takes that changes neither the model nor the random numbers; the first one compiles."""
    bystander = SGD([nn.Parameter(torch.zeros(1))], lr=0.0)
    generator, mode = torch.get_rng_state(), model.training
    began = time.perf_counter()
    for _ in train(
        model, objective, batches, bystander, steps=step + 1, start=step, schedule=constant(0.0), precision=precision
    ):
        model.zero_grad(set_to_none=True)
    torch.set_rng_state(generator)
    model.train(mode)
    return time.perf_counter() - began
