"""The training by gradient that a new model and one that is gone on from share, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fourfold.files import atomic_folder, write_json
from fourfold.progress import say
from fourfold.workflow.measuring import noise_tokens
from fourfold.workflow.pretraining.options import PretrainOptions
from fourfold.workflow.pretraining.parts import ramp_of, save_network, steps_of, text_a_row
from fourfold.workflow.training import (
    Fit,
    Measure,
    Totals,
    chosen_plan,
    compile_if_worth,
    curve_steps,
    decide_steps,
    run_fit,
)

if TYPE_CHECKING:
    from fourfold.pretraining.corpus import RowSource, StreamBatches, TokenShards
    from fourfold.tokenizers import Tokenizer
    from fourfold.training import BatchSource, Objective, Team
    from fourfold.workflow.context import StageContext

NEURAL = ("lstm", "gru", "elman", "rnn", "feed-forward")
GENERATIONS = {"ngram": "statistical"} | dict.fromkeys(NEURAL, "neural")
"""Which of the survey's generations a family belongs to; any other family is a pre-trained transformer."""

SMALL_SHARE = 0.5
"""A model that sees less of the text than this is warned about."""
MANY_EPOCHS = 40
"""Passes over a text after which repeating it is worth nothing (Muennighoff et al. 2023)."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is trained, on what, and how it is measured."""

    module: Any
    tokenizer: Tokenizer
    label: str
    shards: TokenShards
    rows: RowSource | StreamBatches
    objective: Objective
    samples: dict[str, str]
    new_tokens: int = 0
    team: Team | None = None
    """The processes that share the training, each with its part of `module`."""
    whole: Any = None
    """In the first process of a team, the model in one piece; and a model apart from the memory it carries."""

    @property
    def kept(self) -> Any:
        """What is measured, and saved in the end."""
        return self.module if self.whole is None else self.whole


def may_compile(options: PretrainOptions) -> bool:
    """Whether every step of this training is alike, in one process, with each layer computed once."""
    return chosen_plan(options.parallel).world == 1 and options.ramp is None and not options.recompute


def chosen_loss(
    context: StageContext, options: PretrainOptions, module: Any, loss: Objective, rows: BatchSource
) -> Objective:
    """The loss to train with, after the layers are set to be computed again where that is asked for, or compiled where
    that pays: not by processes that share a training, nor where the shape of a step changes."""
    from fourfold.training import choose_precision

    if options.recompute:
        recompute_layers(module)
    if not may_compile(options):
        if options.compile is True:
            say(f"{context.name}: not compiled, since rows, ramp or recomputing change what a step is")
        return loss
    assert options.budget is not None  # checked with the recipe
    precision = choose_precision("cpu", module)
    return compile_if_worth(context.folder, options.compile, options.budget, module, loss, rows, precision)


def steps_to_take(context: StageContext, options: PretrainOptions, bench: Bench) -> int:
    """The budget in steps, decided once; seconds are probed under the plan, with an optimizer of the probe's own."""
    from fourfold.training import ALONE, choose_precision, steps_for_seconds

    assert options.budget is not None  # checked with the recipe
    precision = choose_precision("cpu", bench.module)

    def probe(seconds: float) -> int:
        return steps_for_seconds(
            bench.module,
            bench.objective,
            bench.rows,
            options.optimizer.make(bench.module, split=bench.team is not None),
            seconds,
            precision=precision,
            team=bench.team or ALONE,
        )

    tokens_a_step = sum(batch.tokens for batch in bench.rows.at(0))
    budget = steps_of(options, tokens_a_step)
    return decide_steps(context.folder, budget, tokens_a_step, probe, context.company)


def rows_read(options: PretrainOptions, steps: int) -> int:
    ramp = ramp_of(options)
    return steps * options.batch_size if ramp is None else ramp.before(steps)


def fit_gradient(context: StageContext, options: PretrainOptions, bench: Bench, steps: int, measure: Measure) -> Totals:
    """Train by gradient, resuming from the last checkpoint."""
    from fourfold.models import count_parameters
    from fourfold.pretraining import Job, flops_per_token
    from fourfold.training import choose_precision

    module = bench.module
    precision = choose_precision("cpu", module)
    say(f"{bench.label}: {count_parameters(bench.kept):,} parameters, {precision}")
    fit = Fit(
        model=module,
        objective=bench.objective,
        batches=_ramped(options, bench.rows),
        optimizer=options.optimizer.make(module, split=bench.team is not None),
        update=options.optimizer,
        precision=precision,
        steps=steps,
        label=bench.label,
        flops_per_token=flops_per_token(Job(config=bench.kept.config, tokens=1, context=options.row_tokens)),
        trackers=options.trackers,
        team=bench.team,
        whole=bench.whole,
        one_batch=text_a_row(bench.rows, bench.shards) * options.batch_size >= bench.shards.token_count,
    )
    numbers = with_noise(measure, fit, options.curve.noise_batches)
    measured = curve_steps(steps, options.curve.points)
    return run_fit(context, fit, options.checkpoint, measure=numbers, measured=measured)


def _ramped(options: PretrainOptions, rows: RowSource | StreamBatches) -> BatchSource:
    from fourfold.pretraining.corpus import RampedBatches, StreamBatches

    ramp = ramp_of(options)
    if ramp is None:
        return rows
    assert not isinstance(rows, StreamBatches)  # checked with the recipe
    return RampedBatches(rows, ramp)


def with_noise(measure: Measure, fit: Fit, batches: int | None) -> Measure:
    """The same measurements with the gradient noise scale, in tokens, on text that comes after the training's last
    step; None where it cannot be told from so few batches. Of a team the first measures it, on the whole model."""
    if batches is None:
        return measure
    model = fit.model if fit.team is None else fit.whole

    def also() -> Mapping[str, Mapping[str, float]]:
        later = [batch for step in range(batches) for batch in fit.batches.at(fit.steps + step)]
        return {**measure(), "noise": noise_tokens(model, fit.objective, later, fit.precision)}

    return also


def recompute_layers(module: Any) -> None:
    """Keep only the inputs of layers while training, where the model is a transformer."""
    from fourfold.models.transformer import Transformer

    for part in module.modules():
        if isinstance(part, Transformer):
            part.recompute = True


def budget_warnings(tokens_seen: int, tokens_there: int, readable: bool = True) -> list[str]:
    """What to expect of a model that reads too little of its text, or the same again and again; `readable`: it is
    compared in bits per byte."""
    share = tokens_seen / max(1, tokens_there)
    if share >= SMALL_SHARE:
        return many_passes(share, "your text")
    counting = "the 5-gram will win; " if readable else ""
    return [f"sees {share:.0%} of your text; {counting}train longer (quickstart: --minutes 60)"]


def many_passes(passes: float, what: str) -> list[str]:
    """A warning where a text is read more often than it teaches anything."""
    if passes <= MANY_EPOCHS:
        return []
    return [f"reads {what} {passes:.0f} times over, which teaches nothing more; add text or shorten the budget"]


def save_result(
    context: StageContext,
    options: PretrainOptions,
    module: Any,
    tokenizer: Tokenizer,
    totals: Totals,
    card: dict[str, Any],
) -> None:
    """Write the model folder and the card."""
    from fourfold.models import count_parameters

    with atomic_folder(context.folder / "model") as part:
        save_network(module, tokenizer, part, card["label"])
    continued = isinstance(options.model, str)
    family = options.table.get("family", "continued")
    generation = GENERATIONS.get(family, "pre-trained")
    record = {
        "family": family,
        "generation": context.models.card(str(options.model))["generation"] if continued else generation,
        "label": card["label"],
        "parameters": module.numbers if family == "ngram" else count_parameters(module),
        "tokens_seen": totals.tokens,
        "seconds_trained": round(totals.seconds, 3),
        "steps": totals.steps,
        "budget": options.budget.model_dump(exclude_none=True) if options.budget else None,
        "config": {"base": options.model} if continued else options.model,
        "objective": options.objective or {"kind": "causal"},
        **{key: value for key, value in card.items() if key != "label"},
    }
    write_json(context.folder / "card.json", record)
