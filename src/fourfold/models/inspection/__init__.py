"""What a model is made of, what a token costs in it, what it attends to and says on the way."""

from fourfold.models.inspection.counting import (
    Counts,
    count,
    forward_flops,
    forward_flops_by_operator,
    kv_bytes,
    parameters_by_part,
    stacks,
)
from fourfold.models.inspection.reading import Lens, Reading, logit_lens, read
from fourfold.models.inspection.tree import Node, Row, Weight, rows, tree_of, tree_of_config
from fourfold.models.inspection.visibility import visible, visible_across
from fourfold.models.inspection.words import in_words

__all__ = [
    "Counts",
    "Lens",
    "Node",
    "Reading",
    "Row",
    "Weight",
    "count",
    "forward_flops",
    "forward_flops_by_operator",
    "in_words",
    "kv_bytes",
    "logit_lens",
    "parameters_by_part",
    "read",
    "rows",
    "stacks",
    "tree_of",
    "tree_of_config",
    "visible",
    "visible_across",
]
