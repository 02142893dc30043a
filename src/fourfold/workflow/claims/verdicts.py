"""From the numbers of the seeds to a verdict, by the rule of the claim file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from fourfold.errors import UserError
from fourfold.measures import detectable_effect_paired, detectable_shift, paired_difference, student_interval
from fourfold.workflow.claims.catalogue import resolve
from fourfold.workflow.claims.quantities import QUANTITIES, Quantity
from fourfold.workflow.claims.spec import Claim, Expectation, Size

Verdict = Literal["agrees", "disagrees", "cannot tell at this size"]
Outcome = Literal["holds", "fails", "open"]
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Row:
    """The numbers of one trained (or derived) model."""

    labels: Mapping[str, str]
    seed: int
    numbers: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One expectation against the numbers."""

    says: str
    measure: str
    better: str
    than: str
    advantage: float
    """By how much the expected winner is ahead, in the unit of the measure; negative: it is behind."""
    low: float
    high: float
    """95 % interval of the advantage."""
    n: int
    """Pairs it rests on: seeds, or runs for shares."""
    by: float
    """The smallest advantage the statement is about."""
    detectable: float
    """The advantage that this many pairs would show four times out of five."""
    outcome: Outcome
    decides: bool
    waits: bool = False
    """It decides at full size only: at this one the verdict stays open."""


class _Weighed(NamedTuple):
    """The part of a comparison that is computed."""

    advantage: float
    low: float
    high: float
    n: int
    detectable: float
    outcome: Outcome


def compare(claim: Claim, size: Size, rows: Sequence[Row]) -> list[Comparison]:
    """Every comparison of the claim, in file order.

    A comparison holds when the 95 % interval of the advantage lies above `by`. It fails when
    the interval at 95 % for all deciding comparisons together (Bonferroni) lies below.
    """
    pairs = [pair for expectation in claim.expect for pair in _single(claim, size, expectation)]
    deciding = sum(expectation.has_say(size) for expectation, _ in pairs)
    strict = 1 - (1 - LEVEL) / max(1, deciding)
    return [_compare(claim, size, expectation, than, rows, strict) for expectation, than in pairs]


def verdict_of(comparisons: Sequence[Comparison]) -> Verdict:
    """`agrees` if every deciding comparison holds and none waits for full size, `disagrees` if one fails."""
    outcomes = [comparison.outcome for comparison in comparisons if comparison.decides]
    if "fails" in outcomes:
        return "disagrees"
    settled = not any(comparison.waits for comparison in comparisons)
    return "agrees" if settled and all(outcome == "holds" for outcome in outcomes) else "cannot tell at this size"


def sentence_of(comparisons: Sequence[Comparison]) -> str:
    """Why the verdict is what it is."""
    deciding = [comparison for comparison in comparisons if comparison.decides]
    held = [comparison for comparison in deciding if comparison.outcome == "holds"]
    failed = [comparison for comparison in deciding if comparison.outcome == "fails"]
    waiting = sum(comparison.waits for comparison in comparisons)
    if len(deciding) == 1 and not waiting:
        only = deciding[0]
        state = {"holds": "holds", "fails": "is contradicted", "open": "stays open"}[only.outcome]
        return f"The one prediction {state}: {only.better} is ahead of {only.than} by {_span(only)}.{_missed(deciding)}"
    parts = [f"{len(held)} of {len(deciding)} predictions {'holds' if len(deciding) == 1 else 'hold'}"]
    if failed:
        parts.append(f"{len(failed)} {'is' if len(failed) == 1 else 'are'} contradicted")
    if rest := len(deciding) - len(held) - len(failed):
        parts.append(f"{rest} {'stays' if rest == 1 else 'stay'} open")
    if waiting:
        parts.append(f"{waiting} {'needs' if waiting == 1 else 'need'} --full to be decided")
    return ", ".join(parts) + "." + _missed(deciding)


def _missed(deciding: Sequence[Comparison]) -> str:
    """What an open prediction could have shown."""
    open_ones = [comparison for comparison in deciding if comparison.outcome == "open"]
    if not open_ones or any(comparison.outcome == "fails" for comparison in deciding):
        return ""
    largest = max(open_ones, key=lambda comparison: comparison.detectable)
    return (
        f" Runs this many and this spread would show {largest.detectable:.3f} four times out of five "
        f"({QUANTITIES[largest.measure].label})."
    )


def _span(comparison: Comparison) -> str:
    return f"{comparison.advantage:.3f} ({comparison.low:.3f} to {comparison.high:.3f})"


def _single(claim: Claim, size: Size, expectation: Expectation) -> list[tuple[Expectation, dict[str, tuple[str, ...]]]]:
    """The expectation with each of its opponents, or with all of them together."""
    than = resolve(expectation.than, claim, size, expectation.better)
    if not expectation.each:
        return [(expectation, than)]
    (axis, labels), *others = than.items()
    return [(expectation, {axis: (label,), **dict(others)}) for label in labels]


def _compare(
    claim: Claim,
    size: Size,
    expectation: Expectation,
    than: Mapping[str, tuple[str, ...]],
    rows: Sequence[Row],
    strict: float,
) -> Comparison:
    where, better = resolve(expectation.where, claim, size), resolve(expectation.better, claim, size)
    measured = QUANTITIES[expectation.measure]
    ahead, behind = _chosen(rows, {**where, **better}), _chosen(rows, {**where, **than})
    if not ahead or not behind:
        raise UserError("a comparison without runs", where=f"claim {claim.name}", got=expectation.says)
    free = set(better) | set(than) | ({claim.tuned.axis} if claim.tuned else set())
    if measured.binary:
        weighed = _shares(ahead, behind, expectation, free, strict)
    else:
        advantages = _advantages(ahead, behind, measured, expectation.measure)
        if expectation.beyond:
            elsewhere = {**where, **resolve(expectation.beyond, claim, size)}
            ahead, behind = _chosen(rows, {**elsewhere, **better}), _chosen(rows, {**elsewhere, **than})
            advantages = advantages - _advantages(ahead, behind, measured, expectation.measure)
        weighed = _means(advantages, expectation.by, strict)
    return Comparison(
        says=expectation.says,
        measure=expectation.measure,
        better=_name(better),
        than=_name(than),
        by=expectation.by,
        decides=expectation.has_say(size),
        waits=expectation.decides == "full" and size != "full",
        **weighed._asdict(),
    )


def _advantages(ahead: Sequence[Row], behind: Sequence[Row], measured: Quantity, measure: str) -> np.ndarray:
    """One a seed, which also fixes the order of the data."""
    sign = 1 if measured.higher_is_better else -1
    seeds = sorted({row.seed for row in ahead} & {row.seed for row in behind})
    advantages: np.ndarray = sign * (_by_seed(ahead, measure, seeds) - _by_seed(behind, measure, seeds))
    return advantages


def _means(advantages: np.ndarray, by: float, strict: float) -> _Weighed:
    """Student's interval over the seeds."""
    interval = student_interval(advantages, LEVEL)
    outcome: Outcome = "open"
    if interval.low > by:
        outcome = "holds"
    elif student_interval(advantages, strict).high < by:
        outcome = "fails"
    return _Weighed(interval.value, interval.low, interval.high, len(advantages), detectable_shift(advantages), outcome)


def _shares(
    ahead: Sequence[Row], behind: Sequence[Row], expectation: Expectation, free: set[str], strict: float
) -> _Weighed:
    """Paired by seed and the other axes; Newcombe's interval and McNemar's exact test, for shares of bad ends."""
    first, second = (_by_pair(rows, expectation.measure, free) for rows in (ahead, behind))
    keys = sorted(first.keys() & second.keys())
    # Of a share of bad ends less is better: the advantage is how much the other one has more.
    result = paired_difference([first[key] for key in keys], [second[key] for key in keys], level=LEVEL)
    outcome: Outcome = "open"
    if result.difference > 0 and result.p_value < 1 - LEVEL:
        outcome = "holds"
    elif result.difference < 0 and result.p_value < 1 - strict:
        outcome = "fails"
    rate = float(np.mean([second[key] for key in keys]))
    detectable = detectable_effect_paired(len(keys), rate)
    return _Weighed(result.difference, result.low, result.high, len(keys), detectable, outcome)


def _chosen(rows: Sequence[Row], wanted: Mapping[str, tuple[str, ...]]) -> list[Row]:
    return [row for row in rows if all(row.labels[axis] in labels for axis, labels in wanted.items())]


def _by_seed(rows: Sequence[Row], measure: str, seeds: Sequence[int]) -> np.ndarray:
    return np.array([np.mean([row.numbers[measure] for row in rows if row.seed == seed]) for seed in seeds])


def _by_pair(rows: Sequence[Row], measure: str, free: set[str]) -> dict[tuple[str, ...], float]:
    """The number of each run, by seed and the axes that are not compared; one run each."""
    found = {}
    for row in rows:
        key = (str(row.seed), *(label for axis, label in row.labels.items() if axis not in free))
        assert key not in found, "shares are compared value by value"
        found[key] = row.numbers[measure]
    return found


def _name(selection: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(" / ".join(labels) for labels in selection.values())
