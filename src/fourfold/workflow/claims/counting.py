"""Count the n-gram model of a cell."""

from __future__ import annotations

from typing import Any

from fourfold.errors import UserError
from fourfold.models.ngram import NGramLM, train_ngram_flat
from fourfold.workflow.claims.cells import Cell
from fourfold.workflow.claims.data import ClaimData

KEYS = ("order", "smoothing")


def count_cell(cell: Cell, data: ClaimData) -> NGramLM:
    """Count the text of the cell's one part.

    The start token ends a document as well, as it does in the rows that trained models read.
    """
    options = counting_options(cell)
    (part,) = cell.training.parts
    shards = data.part(part, cell.seed)
    return train_ngram_flat(
        shards.tokens,
        shards.ends,
        order=options["order"],
        vocabulary_size=data.tokenizer.vocabulary_size,
        smoothing=options["smoothing"],
        bos_id=data.start_id,
        eos_id=data.start_id,
    )


def counting_options(cell: Cell) -> dict[str, Any]:
    """Order and smoothing; UserError for what counting has no use for."""
    for name in KEYS:
        if name not in cell.model:
            raise UserError(f"'{name}' is missing", where="model")
    if len(cell.training.parts) != 1:
        raise UserError("an n-gram model counts one part", where="parts", got=len(cell.training.parts))
    return {name: cell.model[name] for name in KEYS}
