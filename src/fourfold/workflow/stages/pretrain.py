"""`[pretrain.name]`: make a language model from tokens, by counting or by gradient, or go on with one.

`objective = { kind = "masked", whole_words = true }` says what is predicted; without it, the next token.
Models that read a text from left to right are measured in bits per byte. Encoders, ELMo and encoder-decoders
have no such number: theirs is the loss of their own objective on held-out rows, of the decoder's
side where there are two. `model = "smollm2"` or a folder goes on from that model on another text.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fourfold.files import write_jsonl
from fourfold.progress import say
from fourfold.workflow.kinds import StageKind
from fourfold.workflow.measuring import bits_per_byte, first_words, held_out_loss, held_out_samples
from fourfold.workflow.pretraining import (
    Bench,
    PretrainOptions,
    budget_warnings,
    check,
    chosen_loss,
    chosen_objective,
    continue_model,
    fit_gradient,
    full_config,
    held_out_batches,
    loss_of,
    make_batches,
    model_form,
    new_module,
    rows_read,
    save_result,
    split_shards,
    steps_to_take,
    text_a_row,
    uses,
)
from fourfold.workflow.training import Totals, curve_row, share_out

if TYPE_CHECKING:
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer
    from fourfold.workflow.context import StageContext


def run(context: StageContext, options: PretrainOptions) -> None:
    from fourfold.tokenizers import Tokenizer

    if isinstance(options.model, str):
        continue_model(context, options)
        return
    assert options.tokenizer is not None  # checked with the recipe
    tokenizer = Tokenizer.load(context.path(options.tokenizer))
    shards = split_shards(context, options, tokenizer, "train")
    samples = held_out_samples(context.path(options.corpus), options.curve.bytes)
    if options.table["family"] == "ngram":
        count(context, options, tokenizer, shards, samples)
    else:
        train_new(context, options, tokenizer, shards, samples)


def count(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, shards: TokenShards, samples: dict[str, str]
) -> None:
    """Train an n-gram model: one pass of counting."""
    from fourfold.models.ngram import train_ngram_flat

    began = time.perf_counter()
    order = options.table["order"]
    module = train_ngram_flat(
        shards.tokens,
        shards.ends,
        order=order,
        vocabulary_size=tokenizer.vocabulary_size,
        smoothing=options.table.get("smoothing", "modified-kneser-ney"),
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


def train_new(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, shards: TokenShards, samples: dict[str, str]
) -> None:
    """Train a recurrent model or a transformer by gradient from random weights, alone or with other processes."""
    from fourfold.models import count_parameters
    from fourfold.training import Carried

    context.company.call(context.name)
    target = chosen_objective(options)
    config = full_config(options, tokenizer, target)
    module = new_module(config, context.seed, tokenizer)
    label = options.label or f"{options.table['family']} {count_parameters(module) / 1e6:.1f}M"
    team, whole = share_out(context, options.parallel, module, lambda: new_module(config, context.seed, tokenizer))
    if options.carry:
        module, whole = Carried(module, options.batch_size), module
    rows = make_batches(context, options, target, model_form(config), tokenizer, shards)
    bench = Bench(
        module=module,
        tokenizer=tokenizer,
        label=label,
        shards=shards,
        rows=rows,
        objective=chosen_loss(context, options, module, loss_of(config, target), rows),
        samples=samples,
        team=team,
        whole=whole,
    )
    readable = model_form(config) in ("causal", "prefix")
    leads = context.company.rank == 0
    held_out = held_out_batches(context, options, target, config, tokenizer) if leads else None

    def measure() -> dict[str, dict[str, float]]:
        kept = bench.kept
        measured = {"bits_per_byte": bits_per_byte(kept, tokenizer, label, samples)} if readable else {}
        return measured | ({} if held_out is None else {"held_out": held_out_loss(kept, bench.objective, held_out)})

    steps = steps_to_take(context, options, bench)
    read = round(rows_read(options, steps) * text_a_row(bench.rows, shards))
    warnings = budget_warnings(read, shards.token_count, readable)
    for warning in warnings:
        say(f"{label} {warning}")
    totals = fit_gradient(context, options, bench, steps, measure)
    if leads:
        card = {"label": label, "warnings": warnings, "epochs": round(read / max(1, shards.token_count), 3)}
        save_result(context, options, bench.kept, tokenizer, totals, card)


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
