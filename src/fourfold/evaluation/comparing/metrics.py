"""Which metric of the one result is which of the other."""

from __future__ import annotations

from collections.abc import Sequence

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.comparing.samples import Sample

SAME = (
    ("acc", "accuracy_raw"),
    ("acc_bytes", "accuracy"),
    ("acc_norm", "accuracy"),
    ("acc", "accuracy"),
    ("exact_match,strict-match", "exact_match"),
    ("exact_match,flexible-extract", "exact_match_flexible"),
    ("prompt_level_strict_acc", "prompt_strict"),
    ("prompt_level_loose_acc", "prompt_loose"),
    ("inst_level_strict_acc", "instruction_strict"),
    ("inst_level_loose_acc", "instruction_loose"),
    ("pass@1,create_test", "pass@1"),
)
"""(lm-eval's name, ours) of one quantity; acc_norm counts characters where ours counts bytes: the same in ASCII."""


def choose_metric(wanted: str | None, a: Sequence[Sample], b: Sequence[Sample], where: str = "") -> tuple[str, str]:
    """The metric on each side: as wanted, else a's first that b has too, by its own name or by one in SAME."""
    names_a, names_b = _names(a), _names(b)
    if wanted is not None:
        first, _, second = wanted.rpartition("=")
        return _known(first or second, names_a, where), _known(second, names_b, where)
    for name in names_a:
        for other in (name, *_others(name)):
            if other in names_b:
                return name, other
    raise UserError(
        f"the two results have no metric in common for {where}",
        got=f"{', '.join(names_a)} against {', '.join(names_b)}",
        advice="Name one of each: --metric NAME_A=NAME_B.",
    )


def _names(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.scores))


def _others(name: str) -> list[str]:
    return [ours for theirs, ours in SAME if theirs == name] + [theirs for theirs, ours in SAME if ours == name]


def _known(wanted: str, names: Sequence[str], where: str) -> str:
    """The metric of that name, or of its name in the other harness."""
    for name in [wanted, *_others(wanted)]:
        if name in names:
            return name
    raise unknown_name("metric", wanted, names, where=where)
