"""What `[pretrain.…]` does: its options, the parts of a new model's training, and going on from a model."""

from fourfold.workflow.pretraining.continuing import continue_model, read_pieces, save_extension
from fourfold.workflow.pretraining.fitting import (
    Bench,
    budget_warnings,
    chosen_loss,
    fit_gradient,
    may_compile,
    rows_read,
    save_result,
    steps_to_take,
)
from fourfold.workflow.pretraining.options import PretrainOptions, check, uses
from fourfold.workflow.pretraining.parts import (
    chosen_objective,
    full_config,
    held_out_batches,
    loss_of,
    make_batches,
    model_form,
    new_module,
    split_shards,
    text_a_row,
)

__all__ = [
    "Bench",
    "PretrainOptions",
    "budget_warnings",
    "check",
    "chosen_loss",
    "chosen_objective",
    "continue_model",
    "fit_gradient",
    "full_config",
    "held_out_batches",
    "loss_of",
    "make_batches",
    "may_compile",
    "model_form",
    "new_module",
    "read_pieces",
    "rows_read",
    "save_extension",
    "save_result",
    "split_shards",
    "steps_to_take",
    "text_a_row",
    "uses",
]
