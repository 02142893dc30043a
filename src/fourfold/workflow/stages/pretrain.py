"""`[pretrain.name]`: make a language model from tokens, by counting or by gradient.

`objective = { kind = "masked", whole_words = true }` says what is predicted; without it, the next token.
Models that read a text from left to right are measured in bits per byte. Encoders and encoder-decoders
have no such number: theirs is the loss of their own objective on held-out rows, of the decoder's
side where there are two.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_folder, write_json, write_jsonl
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use, need
from fourfold.workflow.measuring import bits_per_byte, first_words, held_out_loss, held_out_samples
from fourfold.workflow.pretraining import (
    chosen_objective,
    full_config,
    held_out_batches,
    loss_of,
    make_batches,
    model_form,
    new_module,
    save_network,
    split_shards,
    text_a_step,
)
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Compile,
    Fit,
    OptimizerOptions,
    Totals,
    compile_if_worth,
    curve_row,
    curve_steps,
    decide_steps,
    run_fit,
)

if TYPE_CHECKING:
    from fourfold.models import Config
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer
    from fourfold.training import Objective
    from fourfold.workflow.context import StageContext

GENERATIONS = {"ngram": "statistical", "lstm": "neural", "gru": "neural", "elman": "neural"}
"""Which of the survey's generations a family belongs to; any other family is a pre-trained transformer."""

SMALL_SHARE = 0.5
"""A model that sees less of the text than this is warned about."""
MANY_EPOCHS = 40
"""Passes over a text after which repeating it is worth nothing (Muennighoff et al. 2023)."""


class CurveOptions(Options):
    """The held-out curve drawn while training."""

    points: int = Field(default=8, ge=1, le=100)
    """Measurements, evenly spread on a logarithmic axis of steps."""
    bytes: int | None = Field(default=None, ge=256)
    """Bytes of each sample that are measured; without it, the whole sample."""


class PretrainOptions(Options):
    """Which model, on which tokens, for how long."""

    model: dict[str, Any]
    """`family` (ngram; lstm, gru, elman; llama, gpt2; bert; bart, t5) and the sizes of that family."""
    objective: dict[str, Any] | None = None
    """`kind` (causal, prefix, masked, span-corruption, denoising, mixture, infilling) and its options; without
    it the next token."""
    tokenizer: str
    """The tokenizer; its shards are read when it was made from the same corpus."""
    corpus: str
    """The text to learn from and to be measured on."""
    label: str | None = None
    """What figures call the model."""
    batch_size: int = Field(default=8, ge=1)
    """Rows of a step."""
    context: int | None = Field(default=None, ge=8)
    """Tokens of a row; without it the model's own context, or 512."""
    optimizer: OptimizerOptions = OptimizerOptions()
    """The optimizer of the families trained by gradient."""
    budget: Budget | None = None
    """How long to train; counting needs none."""
    checkpoint: CheckpointOptions = CheckpointOptions()
    """How much work a crash may cost."""
    curve: CurveOptions = CurveOptions()
    """The held-out curve."""
    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    """Experiment trackers to tell, beside metrics.jsonl and TensorBoard's files in the stage folder."""
    compile: Compile = "auto"
    """Compile the layers of a transformer, which needs a C++ compiler; `auto`: where training takes five minutes."""

    @property
    def row_tokens(self) -> int:
        return self.context or int(self.model.get("context") or 512)


def uses(options: PretrainOptions) -> list[Use]:
    return [Use("tokenizer", options.tokenizer, ("tokenizer",)), Use("corpus", options.corpus, ("corpus",))]


def check(options: PretrainOptions) -> None:
    family = options.model.get("family")
    need(family, "family", "model")
    if family == "ngram":
        if options.objective is not None:
            raise UserError("an n-gram model is counted: it has no objective", where="objective")
        unknown = [key for key in options.model if key not in ("family", "order", "smoothing")]
        if unknown:
            raise unknown_name("key", unknown[0], ("family", "order", "smoothing"), where="model")
        order = options.model.get("order")
        if not isinstance(order, int) or not 1 <= order <= 10:
            raise UserError("'order' is out of range", where="model", expected="1 to 10", got=order)
        return
    from fourfold.models import FAMILIES, RecurrentConfig, model_config, parameter_count

    if family not in FAMILIES:
        raise unknown_name("model family", str(family), [*FAMILIES, "ngram"])
    parameter_count(options.model, 512)
    config = model_config(options.model, 512)
    if not isinstance(config, RecurrentConfig) and options.row_tokens > config.context:
        raise UserError(
            "'context' is longer than the model's", expected=f"at most {config.context}", got=options.context
        )
    check_objective(options, config)
    need(options.budget, "budget", f"family '{family}'")


def check_objective(options: PretrainOptions, config: Config) -> None:
    """Refuse an objective that cannot train a model of that configuration."""
    objective, form = chosen_objective(options), model_form(config)
    if form not in objective.forms:
        what = "predicting the next token" if options.objective is None else f"'{options.objective['kind']}'"
        raise UserError(
            f"{what} does not fit a model that is {form}",
            where="objective",
            expected=f"a model that is {' or '.join(objective.forms)}",
            advice="bert takes masked; bart and t5 take denoising, span-corruption, mixture or prefix.",
        )


def run(context: StageContext, options: PretrainOptions) -> None:
    from fourfold.tokenizers import Tokenizer

    tokenizer = Tokenizer.load(context.path(options.tokenizer))
    shards = split_shards(context, options, tokenizer, "train")
    samples = held_out_samples(context.path(options.corpus), options.curve.bytes)
    if options.model["family"] == "ngram":
        count(context, options, tokenizer, shards, samples)
    else:
        fit_gradient(context, options, tokenizer, shards, samples)


def count(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, shards: TokenShards, samples: dict[str, str]
) -> None:
    """Train an n-gram model: one pass of counting."""
    from fourfold.models.ngram import train_ngram_flat

    began = time.perf_counter()
    order = options.model["order"]
    module = train_ngram_flat(
        shards.tokens,
        shards.ends,
        order=order,
        vocabulary_size=tokenizer.vocabulary_size,
        smoothing=options.model.get("smoothing", "modified-kneser-ney"),
        bos_id=tokenizer.document_start_id,
        eos_id=tokenizer.eos_id,
    )
    totals = Totals(steps=1, seconds=time.perf_counter() - began, tokens=shards.token_count)
    label = options.label or f"{order}-gram"
    scores = bits_per_byte(module, tokenizer, label, samples)
    write_jsonl(context.folder / "curve.jsonl", [curve_row(totals, {"bits_per_byte": scores})])
    save_result(context, options, module, tokenizer, totals, {"label": label, "warnings": []})
    say(f"{label}: " + ", ".join(f"{group} {value:.3f} bits per byte" for group, value in scores.items()))
    say(f"{label} writes: {first_words(module, tokenizer, context.seed)!r}")


def fit_gradient(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, shards: TokenShards, samples: dict[str, str]
) -> None:
    """Train a recurrent model or a transformer by gradient, resuming from the last checkpoint."""
    from fourfold.models import count_parameters
    from fourfold.pretraining import Job, flops_per_token
    from fourfold.training import choose_precision, steps_for_seconds

    assert options.budget is not None  # checked with the recipe
    target = chosen_objective(options)
    config = full_config(options, tokenizer, target)
    module = new_module(config, context.seed)
    parameters = count_parameters(module)
    label = options.label or f"{options.model['family']} {parameters / 1e6:.1f}M"
    precision = choose_precision("cpu", module)
    say(f"{label}: {parameters:,} parameters, {precision}")
    batches = make_batches(options, target, model_form(config), tokenizer, shards, context.seed)
    optimizer = options.optimizer.make(module)
    objective: Objective = loss_of(config, target)
    objective = compile_if_worth(context.folder, options.compile, options.budget, module, objective, batches, precision)
    probe = partial(steps_for_seconds, module, objective, batches, optimizer, precision=precision)
    steps = decide_steps(context.folder, options.budget, sum(batch.tokens for batch in batches.at(0)), probe)
    readable = model_form(config) in ("causal", "prefix")
    warnings = budget_warnings(round(steps * text_a_step(batches, shards)), shards.token_count, readable)
    for warning in warnings:
        say(f"{label} {warning}")
    fit = Fit(
        model=module,
        objective=objective,
        batches=batches,
        optimizer=optimizer,
        update=options.optimizer,
        precision=precision,
        steps=steps,
        label=label,
        flops_per_token=flops_per_token(Job(config=config, tokens=1, context=options.row_tokens)),
        trackers=options.trackers,
    )
    held_out = held_out_batches(context, options, target, config, tokenizer)

    def measure() -> dict[str, dict[str, float]]:
        measured = {"bits_per_byte": bits_per_byte(module, tokenizer, label, samples)} if readable else {}
        return measured | ({} if held_out is None else {"held_out": held_out_loss(module, objective, held_out)})

    totals = run_fit(
        context, fit, options.checkpoint, measure=measure, measured=curve_steps(steps, options.curve.points)
    )
    save_result(context, options, module, tokenizer, totals, {"label": label, "warnings": warnings})


def budget_warnings(tokens_seen: int, tokens_there: int, readable: bool = True) -> list[str]:
    """What to expect of a model that reads too little of its text; `readable`: it is compared in bits per byte."""
    share = tokens_seen / max(1, tokens_there)
    if share > MANY_EPOCHS:
        return [f"reads your text {share:.0f} times over, which teaches nothing more; add text or shorten the budget"]
    if share >= SMALL_SHARE:
        return []
    counting = "the 5-gram will win; " if readable else ""
    return [f"sees {share:.0%} of your text; {counting}train longer (quickstart: --minutes 60)"]


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
    family = options.model["family"]
    record = {
        "family": family,
        "generation": GENERATIONS.get(family, "pre-trained"),
        "label": card["label"],
        "parameters": module.numbers if family == "ngram" else count_parameters(module),
        "tokens_seen": totals.tokens,
        "seconds_trained": round(totals.seconds, 3),
        "steps": totals.steps,
        "budget": options.budget.model_dump(exclude_none=True) if options.budget else None,
        "config": options.model,
        "objective": options.objective or {"kind": "causal"},
        "warnings": card["warnings"],
    }
    write_json(context.folder / "card.json", record)


KIND = StageKind(
    name="pretrain",
    options=PretrainOptions,
    uses=uses,
    run=run,
    check=check,
    code=(
        "models",
        "kernels",
        "training",
        "inference",
        "tokenizers",
        "pretraining.corpus",
        "pretraining.objectives",
        "workflow.training",
        "workflow.measuring",
        "workflow.pretraining",
    ),
)
