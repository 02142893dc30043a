"""The page of a claim, for people: statement, verdict, picture, rule, numbers, method, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.workflow.claims.catalogue import references
from fourfold.workflow.claims.quantities import QUANTITIES
from fourfold.workflow.claims.results import Results, measures_of, summary
from fourfold.workflow.claims.spec import Claim, FigureOptions, Size
from fourfold.workflow.claims.verdicts import Comparison
from fourfold.workflow.machine import processor_name
from fourfold.workflow.report.formatting import duration, short_count

VERDICTS_ZH = {"agrees": "一致", "disagrees": "不一致", "cannot tell at this size": "此规模下无法判断"}
OUTCOMES = {"holds": "holds", "fails": "contradicted", "open": "open"}
ARRANGEMENTS = {
    "stream": "every token from those before it",
    "halves": "the second half of a row from the first",
    "prefix": "the second half of a row from the first, which is read in both directions",
    "encoder-decoder": "the second half of a row by a decoder from the first, read by an encoder",
}


def write_page(claim: Claim, size: Size, results: Results, seconds: float, figures: Sequence[FigureOptions]) -> str:
    """The page as Markdown; figures are linked as `figures/NAME.svg`."""
    models = len({(*row.labels.values(), row.seed) for row in results.rows})
    parts = [
        f"# {claim.title.en}",
        f"*{claim.title.zh}*",
        f"The survey (Zhao et al. 2023), section {claim.section}: {claim.statement.en}",
        f"综述第 {claim.section} 节：{claim.statement.zh}",
        f"**Our run {results.verdict}** (本次实验：{VERDICTS_ZH[results.verdict]}). {results.sentence} "
        f"{size.capitalize()} size: {models} results from {_trained(claim, results)} models, "
        f"{duration(seconds).en} on {processor_name()}.",
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
        f"Run it again: `fourfold claim run {claim.name} --{size}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_methods(claim: Claim, size: Size, results: Results) -> str:
    """The methods as a paragraph that could stand in a paper."""
    amounts = claim.size(size)
    training = claim.training.model_copy(update=dict(amounts.training))
    steps = _span([int(model["steps"]) for model in results.models])
    parameters = _span([int(model["parameters"]) for model in results.models])
    flops = " to ".join(
        dict.fromkeys(short_count(end(float(model["flops"]) for model in results.models)) for end in (min, max))
    )
    axes = "; ".join(f"{axis.label} ({', '.join(claim.labels(axis, size))})" for axis in claim.axis)
    tokens = training.batch_size * training.context
    values = [value for axis in claim.axis for value in axis.values.values()]
    varied = any("arrangement" in value.training for value in values)
    rate = "as varied" if any("lr" in value.training for value in values) else f"{training.lr:g}"
    task = "" if varied else f" It predicts {ARRANGEMENTS[training.arrangement]}."
    return (
        f"We vary {axes}, and train each combination with {amounts.seeds} seeds, which set the initial weights and the "
        f"order of the data. A model has {parameters} parameters and is trained for {steps} steps of {tokens:,} tokens "
        f"(rows of {training.context}), {flops} FLOPs a model, "
        f"with AdamW (Loshchilov and Hutter 2019; peak learning rate {rate}, {training.warmup:.0%} warm-up, "
        f"{training.schedule} schedule, weight decay {training.weight_decay:g}, gradients clipped at "
        f"{training.clip:g}) in fp32.{task} The text is {', '.join(claim.data.sources)}: "
        f"{results.data['train_tokens']:,} training tokens of a byte-level BPE of "
        f"{results.data['vocabulary_size']:,}; everything is measured on documents held out from it "
        f"({results.data['held_out_tokens']:,} tokens; token frequencies alone give "
        f"{results.data['token_frequency_loss']:.3f} nats a token). Differences are taken within a seed and given with "
        "Student's 95 % interval over seeds; shares of failed runs are compared by McNemar's exact test over runs."
    )


def _trained(claim: Claim, results: Results) -> int:
    derived = {name for axis in claim.axis for name in axis.derived}
    return sum(not derived & set(row.labels.values()) for row in results.rows)


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


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
        outcome = OUTCOMES[comparison.outcome] + ("" if comparison.decides else " (no say in the verdict)")
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
    authors = fields["author"].split(" and ")
    names = [author.partition(",")[0] for author in authors]
    short = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    venue = fields.get("journal") or fields["booktitle"]
    return f"{short} {fields['year']}. {fields['title']}. {venue}."
