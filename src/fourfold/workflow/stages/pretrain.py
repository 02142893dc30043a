"""`[pretrain.name]`: make a language model from tokens, by counting or by gradient."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_folder, read_json, read_text, write_json, write_jsonl
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use, need
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Fit,
    OptimizerOptions,
    Totals,
    curve_row,
    curve_steps,
    decide_steps,
    run_fit,
)

if TYPE_CHECKING:
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer
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
    """`family` (ngram; lstm, gru, elman; llama, gpt2) and the sizes of that family."""
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
    compile: bool = False
    """Compile the layers of a transformer: faster steps after a first one of a minute or so; needs a C++ compiler."""

    @property
    def row_tokens(self) -> int:
        return self.context or int(self.model.get("context") or 512)


def uses(options: PretrainOptions) -> list[Use]:
    return [Use("tokenizer", options.tokenizer, ("tokenizer",)), Use("corpus", options.corpus, ("corpus",))]


def check(options: PretrainOptions) -> None:
    family = options.model.get("family")
    need(family, "family", "model")
    if family == "ngram":
        unknown = [key for key in options.model if key not in ("family", "order", "smoothing")]
        if unknown:
            raise unknown_name("key", unknown[0], ("family", "order", "smoothing"), where="model")
        order = options.model.get("order")
        if not isinstance(order, int) or not 1 <= order <= 10:
            raise UserError("'order' is out of range", where="model", expected="1 to 10", got=order)
        return
    from fourfold.models import FAMILIES, TransformerConfig, model_config, parameter_count

    if family not in FAMILIES:
        raise unknown_name("model family", str(family), [*FAMILIES, "ngram"])
    parameter_count(options.model, 512)
    config = model_config(options.model, 512)
    if isinstance(config, TransformerConfig) and options.row_tokens > config.context:
        raise UserError(
            "'context' is longer than the model's", expected=f"at most {config.context}", got=options.context
        )
    need(options.budget, "budget", f"family '{family}'")


def run(context: StageContext, options: PretrainOptions) -> None:
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer

    tokenizer = Tokenizer.load(context.path(options.tokenizer))
    shards = TokenShards.open(train_shards(context, options, tokenizer))
    samples = held_out_samples(context.path(options.corpus), options.curve.bytes)
    if options.model["family"] == "ngram":
        count(context, options, tokenizer, shards, samples)
    else:
        fit_gradient(context, options, tokenizer, shards, samples)


def train_shards(context: StageContext, options: PretrainOptions, tokenizer: Tokenizer) -> Path:
    """The tokenizer's shards when it has read the same corpus, else shards of our own."""
    from fourfold.pretraining.corpus import encode_corpus

    card = read_json(context.output_of(options.tokenizer, "card.json"))
    if card["corpus"] == options.corpus:
        return context.output_of(options.tokenizer, "shards/train")
    folder = context.folder / "shards"
    if not (folder / "manifest.json").is_file():
        encode_corpus(context.path(options.corpus), tokenizer, folder, split="train")
    return folder


def held_out_samples(corpus: Path, limit: int | None) -> dict[str, str]:
    """The corpus's test samples by group, each cut to `limit` bytes."""
    samples = {}
    for path in sorted((corpus / "samples").glob("*.txt")):
        if not path.stem.startswith("train_"):
            data = read_text(path).encode()
            samples[path.stem] = data[:limit].decode(errors="ignore")
    return samples


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
    write_jsonl(context.folder / "curve.jsonl", [curve_row(totals, scores)])
    save_result(context, options, module, tokenizer, totals, {"label": label, "warnings": []})
    say(f"{label}: " + ", ".join(f"{group} {value:.3f} bits per byte" for group, value in scores.items()))
    say(f"{label} writes: {first_words(module, tokenizer, context.seed)!r}")


def fit_gradient(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, shards: TokenShards, samples: dict[str, str]
) -> None:
    """Train a recurrent model or a transformer by gradient, resuming from the last checkpoint."""
    from fourfold.models import build_model, parameter_count
    from fourfold.pretraining.corpus import WindowBatches
    from fourfold.training import causal_language_modelling, choose_precision, steps_for_seconds

    assert options.budget is not None  # checked with the recipe
    module = build_model(options.model, tokenizer.vocabulary_size, seed=context.seed)
    parameters = parameter_count(options.model, tokenizer.vocabulary_size)
    label = options.label or f"{options.model['family']} {parameters / 1e6:.1f}M"
    precision = choose_precision("cpu", module)
    if options.compile:
        compile_layers(module)
    say(f"{label}: {parameters:,} parameters, {precision}")
    start_id = tokenizer.document_start_id
    batches = WindowBatches(shards, options.batch_size, options.row_tokens, context.seed, start_id)
    optimizer = options.optimizer.make(module)
    objective = causal_language_modelling()

    def probe(seconds: float) -> int:
        return steps_for_seconds(module, objective, batches, optimizer, seconds, precision=precision)

    steps = decide_steps(context.folder, options.budget, options.batch_size * options.row_tokens, probe)
    warnings = budget_warnings(steps * options.batch_size * options.row_tokens, shards.token_count)
    for warning in warnings:
        say(f"{label} {warning}")
    fit = Fit(
        model=module,
        objective=objective,
        batches=batches,
        optimizer=optimizer,
        precision=precision,
        steps=steps,
        schedule=options.optimizer.make_schedule(steps),
        clip=options.optimizer.clip,
        label=label,
    )
    totals = run_fit(
        context,
        fit,
        options.checkpoint,
        measure=lambda: bits_per_byte(module, tokenizer, label, samples),
        measured=curve_steps(steps, options.curve.points),
    )
    save_result(context, options, module, tokenizer, totals, {"label": label, "warnings": warnings})


def budget_warnings(tokens_seen: int, tokens_there: int) -> list[str]:
    """What to expect of a model that reads too little of its text."""
    share = tokens_seen / max(1, tokens_there)
    if share > MANY_EPOCHS:
        return [f"reads your text {share:.0f} times over, which teaches nothing more; add text or shorten the budget"]
    if share >= SMALL_SHARE:
        return []
    return [f"sees {share:.0%} of your text; the 5-gram will win; use --minutes 60"]


def bits_per_byte(module: Any, tokenizer: Tokenizer, label: str, samples: dict[str, str]) -> dict[str, float]:
    """Bits per byte of each sample, by the definition every comparison uses."""
    import torch

    from fourfold.inference import LanguageModel

    module.eval()
    model = LanguageModel(module, tokenizer, name=label)
    with torch.compiler.set_stance("force_eager"):  # texts of many lengths: nothing to compile for
        return {group: model.score([text])[0].bits_per_byte for group, text in samples.items()}


def first_words(module: Any, tokenizer: Tokenizer, seed: int) -> str:
    """A few words the model makes up from the start of a document."""
    from fourfold.inference import LanguageModel, Sampling

    model = LanguageModel(module, tokenizer, stop_ids=frozenset())
    return model.generate([""], Sampling(max_tokens=40, temperature=0.8, seed=seed))[0].text.strip()


def compile_layers(module: Any) -> None:
    """Compile in place: names, weights and files stay what they are."""
    from fourfold.models import TransformerLM

    if isinstance(module, TransformerLM):
        for layer in module.stack.layers:
            layer.compile()


def save_result(
    context: StageContext,
    options: PretrainOptions,
    module: Any,
    tokenizer: Tokenizer,
    totals: Totals,
    card: dict[str, Any],
) -> None:
    """Write the model folder and the card."""
    from fourfold.inference import LanguageModel
    from fourfold.models import count_parameters

    module.eval()
    with atomic_folder(context.folder / "model") as part:
        LanguageModel(module, tokenizer, name=card["label"]).save(part)
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
        "warnings": card["warnings"],
    }
    write_json(context.folder / "card.json", record)


KIND = StageKind(
    name="pretrain",
    options=PretrainOptions,
    uses=uses,
    run=run,
    check=check,
    code=("models", "kernels", "training", "inference", "tokenizers", "pretraining.corpus", "workflow.training"),
)
