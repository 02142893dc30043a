"""The page of a claim, for people: statement, verdict, picture, rule, numbers, method, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.workflow.claims.catalogue import references
from fourfold.workflow.claims.listing import VERDICTS_ZH, short_reference
from fourfold.workflow.claims.methods import write_methods
from fourfold.workflow.claims.quantities import QUANTITIES
from fourfold.workflow.claims.results import Results, Took, measures_of, summary
from fourfold.workflow.claims.spec import Claim, FigureOptions, Size
from fourfold.workflow.claims.verdicts import Comparison
from fourfold.workflow.machine import processor_name
from fourfold.workflow.report.formatting import duration

OUTCOMES = {"holds": "holds", "fails": "contradicted", "open": "open"}


def write_page(claim: Claim, size: Size, results: Results, took: Took, figures: Sequence[FigureOptions]) -> str:
    """The page as Markdown; figures are linked as `figures/NAME.svg`."""
    parts = [
        f"# {claim.title.en}",
        f"*{claim.title.zh}*",
        f"The survey (Zhao et al. 2023), section {claim.section}: {claim.statement.en}",
        f"综述第 {claim.section} 节：{claim.statement.zh}",
        f"**Our run {results.verdict}** (本次实验：{VERDICTS_ZH[results.verdict]}). {results.sentence} "
        f"{size.capitalize()} size: {_amount(claim, results)}, {_time(took)} on {processor_name()}.",
        *(f"![{figure.title}](figures/{figure.name}.svg)\n\n{figure.caption}" for figure in figures),
        "## The rule, fixed beforehand",
        f"{_rule(results.comparisons)}{_tuning(claim)}\n\n{_comparisons(results.comparisons)}",
        "## Numbers",
        f"Mean over {claim.size(size).seeds} seeds, 95 % interval in brackets."
        + (" What was compared is in bold." if claim.tuned else "")
        + f"\n\n{_numbers(claim, results)}",
        "## Method",
        write_methods(claim, size, results),
        "## What this cannot say",
        "\n".join(f"- {limit}" for limit in claim.limits),
        "## References",
        "\n".join(f"- {_reference(key)}" for key in claim.cites),
        f"Run it again: `{_command(claim, size, results)}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _command(claim: Claim, size: Size, results: Results) -> str:
    own = claim.questions is None or results.data["model"] == claim.model["reference"]
    shipped = claim.labelled is not None and results.data["source"] == claim.labelled.data
    made_here = claim.questions is None and (claim.labelled is None or shipped)
    from_hub = made_here or results.data["source"].startswith("hf:")
    options = ("" if own else f" --model {results.data['model']}") + ("" if from_hub else " --data FILE")
    return f"fourfold claim run {claim.name} --{size}{options}"


def _time(took: Took) -> str:
    processor = f" ({duration(took.processor_seconds).en} of processor time)" if took.processor_seconds else ""
    return duration(took.seconds).en + processor


def _amount(claim: Claim, results: Results) -> str:
    """How much was measured on how many models."""
    if claim.questions is not None:
        return f"{len(results.rows)} results from {results.data['model']}"
    derived = {name for axis in claim.axis for name in axis.derived}
    models = sum(not derived & set(row.labels.values()) for row in results.rows)
    return f"{len(results.rows)} results from {models} models"


def _rule(comparisons: Sequence[Comparison]) -> str:
    deciding = sum(comparison.decides for comparison in comparisons)
    together = "" if deciding == 1 else f", for {deciding} comparisons together (Bonferroni),"
    return (
        "A prediction *holds* when the 95 % interval of the advantage lies above zero (or above the stated smallest "
        f"difference), and is *contradicted* when the interval at 95 %{together} lies below it. The run agrees when "
        "every deciding prediction holds, disagrees when one is contradicted, and else cannot tell. *Detectable* is "
        "the advantage that as many runs with this spread would show four times out of five."
    )


def _tuning(claim: Claim) -> str:
    if claim.tuned is None:
        return ""
    axis = claim.axis_named(claim.tuned.axis)
    assert axis is not None  # the claim was checked
    return (
        f" The {axis.label} is not compared: every combination of the rest is judged by the one with which its "
        f"{QUANTITIES[claim.tuned.by].label.partition(',')[0]} is lowest on average over seeds, and held-out text has "
        "no say in that choice."
    )


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    lines = ["| Prediction | Compared | Advantage | Detectable | |", "|---|---|---|---|---|"]
    for comparison in comparisons:
        measured = QUANTITIES[comparison.measure]
        versus = f"{comparison.better} against {comparison.than}: {measured.label}"
        advantage = interval_text(comparison.advantage, comparison.low, comparison.high, 3)
        say = "" if comparison.decides else " (decides with --full)" if comparison.waits else " (no say in the verdict)"
        outcome = OUTCOMES[comparison.outcome] + say
        says = comparison.says + (f" (by more than {comparison.by:g})" if comparison.by else "")
        lines.append(
            f"| {says} | {versus} | {advantage}, n = {comparison.n} | {comparison.detectable:.3f} | {outcome} |"
        )
    return "\n".join(lines)


def _numbers(claim: Claim, results: Results) -> str:
    names = measures_of(claim)
    axes = [axis for axis in claim.axis if len({row.labels[axis.name] for row in results.rows}) > 1]
    header = [*(axis.label for axis in axes), *(QUANTITIES[name].label for name in names)]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for entry in summary(claim, results):
        bold = claim.tuned is not None and entry["compared"]
        cells = [f"**{label}**" if bold else label for label in (entry["labels"][axis.name] for axis in axes)]
        cells += [_cell(entry[name], QUANTITIES[name].digits) for name in names]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: Mapping[str, Any], digits: int) -> str:
    return interval_text(value["mean"], value["low"], value["high"], digits)


def interval_text(value: float, low: float, high: float, digits: int) -> str:
    """`1.234 (1.200 to 1.268)`."""
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", "−")


def _reference(key: str) -> str:
    fields = references()[key]
    venue = next(fields[kind] for kind in ("journal", "booktitle", "publisher") if kind in fields)
    return f"{short_reference(key)}. {fields['title'].rstrip('.?')}. {venue}."
