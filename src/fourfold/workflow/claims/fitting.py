"""Train the model of a cell through the one loop."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fourfold.errors import UserError
from fourfold.models import build_model
from fourfold.progress import say
from fourfold.training import FLOAT32, Diverged, causal_language_modelling, load_latest_checkpoint
from fourfold.workflow.claims.arrangements import ArrangedBatches
from fourfold.workflow.claims.cells import Cell
from fourfold.workflow.claims.data import ClaimData
from fourfold.workflow.claims.mixing import MixedWindows
from fourfold.workflow.claims.planning import Plan
from fourfold.workflow.context import StageContext
from fourfold.workflow.training import CheckpointOptions, Fit, OptimizerOptions, run_fit


def train_cell(
    context: StageContext, cell: Cell, plan: Plan, data: ClaimData, origin: Path | None
) -> tuple[nn.Module, bool]:
    """Train to the end, or until it diverges; returns the model and whether it did.

    fp32, so that precision plays no part. `origin` is the folder of the cell whose weights it starts from.
    """
    module = build_model(cell.model, data.tokenizer.vocabulary_size, seed=cell.seed)
    training = cell.training
    options = OptimizerOptions(
        lr=training.lr,
        weight_decay=training.weight_decay,
        schedule=training.schedule,
        warmup=training.warmup,
        clip=training.clip,
    )
    if origin is not None:
        _start_from(origin, module, options)
    fit = Fit(
        model=module,
        objective=causal_language_modelling(),
        batches=ArrangedBatches(windows_of(cell, data), training.arrangement, data.start_id),
        optimizer=options.make(module),
        update=options,
        precision=FLOAT32,
        steps=plan.steps,
        label=cell.title,
    )
    try:
        run_fit(context, fit, CheckpointOptions())
    except Diverged as error:
        say(f"{cell.title}: diverged ({error})")
        return module, True
    return module, False


def windows_of(cell: Cell, data: ClaimData) -> MixedWindows:
    """The rows a cell is trained on."""
    training = cell.training
    return MixedWindows(
        [data.part(part, cell.seed) for part in training.parts],
        [part.share for part in training.parts],
        training.batch_size,
        training.context,
        cell.seed,
        data.start_id,
    )


def _start_from(origin: Path, module: nn.Module, options: OptimizerOptions) -> None:
    """Load the weights a finished cell ended with; a new optimizer begins from nothing."""
    if load_latest_checkpoint(origin / "checkpoints", module, options.make(module)) is None:
        raise UserError("the model to start from is gone", where=origin, advice="Delete this folder and run again.")
