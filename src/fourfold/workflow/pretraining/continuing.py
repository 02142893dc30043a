"""A pre-training that goes on from a model: its weights in fp32, its tokenizer, new tokens where they are asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, write_json
from fourfold.progress import say
from fourfold.workflow.measuring import bits_per_byte, held_out_samples
from fourfold.workflow.pretraining.fitting import (
    Bench,
    chosen_loss,
    fit_gradient,
    many_passes,
    rows_read,
    save_result,
    steps_to_take,
)
from fourfold.workflow.pretraining.options import PretrainOptions
from fourfold.workflow.pretraining.parts import loss_of, make_batches, replays, split_shards, text_a_row
from fourfold.workflow.training import Measure, check_plan, share_out

if TYPE_CHECKING:
    from fourfold.tokenizers import Tokenizer
    from fourfold.workflow.context import StageContext

USUAL_RATE = 2e-4
"""Peak learning rate of a training that goes on, if the recipe says none: a tenth of a fresh one's."""


class Start(NamedTuple):
    """What the training begins with."""

    module: Any
    tokenizer: Tokenizer
    new_tokens: int


def start_of(context: StageContext, options: PretrainOptions) -> Start:
    """The model that is named, as copy in fp32; extended once, and read back when the stage goes on."""
    from fourfold.models import RecurrentLM, TransformerLM, make_dense, widen_vocabulary

    assert isinstance(options.model, str)
    loaded = context.models.fresh(options.model)
    module: Any = getattr(loaded, "module", None)  # an endpoint has none
    if not isinstance(module, TransformerLM | RecurrentLM):
        raise UserError(
            "this model cannot be trained on", where=options.model, got=type(module or loaded).__name__,
            expected="a causal transformer or a recurrent network whose weights are here",
        )  # fmt: skip
    if any(name.rpartition(".")[0].endswith("deltas.0") for name, _ in module.named_parameters()):
        raise UserError(
            "the model has low-rank deltas", where=options.model,
            advice="Merge them first: fourfold convert ADAPTER FOLDER, and name the folder.",
        )  # fmt: skip
    tokenizer: Tokenizer = loaded.tokenizer
    pieces: dict[int, list[int]] = {}
    if options.new_tokens:
        tokenizer, pieces = _extended(context, options, tokenizer)
    module = make_dense(module)  # a file's weights in few bits cannot be trained
    return Start(widen_vocabulary(module, pieces), tokenizer, len(pieces))


def _extended(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer
) -> tuple[Tokenizer, dict[int, list[int]]]:
    """The tokenizer with new tokens of the corpus, kept in the stage folder."""
    from fourfold.pretraining.corpus import read_documents
    from fourfold.tokenizers import Tokenizer, extend_tokenizer

    folder = context.folder / "tokenizer"
    if not folder.is_dir():
        text = context.output_of(options.corpus, "train.jsonl")
        extension = extend_tokenizer(tokenizer, (doc.text for doc in read_documents(text)), options.new_tokens)
        with atomic_folder(folder) as part:
            save_extension(extension.tokenizer, extension.pieces, part)
        if len(extension.pieces) < options.new_tokens:
            say(f"{context.name}: the text has only {len(extension.pieces)} pairs that stand twice; they are added")
    return Tokenizer.load(folder), read_pieces(folder)


def save_extension(tokenizer: Tokenizer, pieces: dict[int, list[int]], folder: Path) -> None:
    """A tokenizer folder that also says what each new token is made of."""
    tokenizer.save(folder)
    write_json(folder / "new_tokens.json", {str(id): parts for id, parts in pieces.items()})


def read_pieces(folder: Path) -> dict[int, list[int]]:
    try:
        return {int(id): list(parts) for id, parts in read_json(folder / "new_tokens.json").items()}
    except (json.JSONDecodeError, AttributeError, ValueError, TypeError) as error:
        raise UserError("not a list of new tokens", where=folder / "new_tokens.json", got=str(error)) from None


def continue_model(context: StageContext, options: PretrainOptions) -> None:
    """Go on from a model on this corpus; what it could do before, on this text and on the replayed one, is kept
    beside what it can after."""
    options, bench = _prepared(context, options)
    label = bench.label

    def measure() -> dict[str, dict[str, float]]:
        return {"bits_per_byte": bits_per_byte(bench.kept, bench.tokenizer, label, bench.samples)}

    leads = context.company.rank == 0
    before = measured_once(context, measure) if leads else {}
    steps = steps_to_take(context, options, bench)
    read = rows_read(options, steps)
    epochs = read * text_a_row(bench.rows, bench.shards) / max(1, bench.shards.token_count)
    warnings = many_passes(epochs, "your text") + many_passes(replays(bench.rows, read), "the replayed text")
    for remark in warnings or [f"reads the text {epochs:.2g} times"]:
        say(f"{label} {remark}")
    totals = fit_gradient(context, options, bench, steps, measure)
    if not leads:
        return
    after = measure()["bits_per_byte"]
    card = {
        "label": label,
        "warnings": warnings,
        "new_tokens": bench.new_tokens,
        "epochs": round(epochs, 3),
        "bits_per_byte": {"before": before, "after": after},
    }
    save_result(context, options, bench.kept, bench.tokenizer, totals, card)
    changes = (f"{group} {value:.3f} → {after[group]:.3f}" for group, value in before.items())
    say(f"{label}, bits per byte: " + ", ".join(changes))


def _prepared(context: StageContext, options: PretrainOptions) -> tuple[PretrainOptions, Bench]:
    """The options with what the model decides, and what is trained on what."""
    from fourfold.pretraining.objectives import Causal

    reference = str(options.model)
    if "lr" not in options.optimizer.model_fields_set:
        say(f"{context.name}: going on with a peak learning rate of {USUAL_RATE:g}; optimizer.lr sets another")
        options = options.model_copy(update={"optimizer": options.optimizer.model_copy(update={"lr": USUAL_RATE})})
    start = start_of(context, options)
    longest = start.module.context
    if longest is not None and options.row_tokens > longest:
        say(f"{reference} reads {longest} tokens at most: rows are as long")
        options = options.model_copy(update={"context": longest})
    shards = split_shards(context, options, start.tokenizer, "train")
    samples = held_out_samples(context.path(options.corpus), options.curve.bytes)
    if options.replay is not None:
        kept = held_out_samples(context.path(options.replay), options.curve.bytes)
        samples |= {f"replayed {group}": text for group, text in kept.items()}
    rows = make_batches(context, options, Causal(), "causal", start.tokenizer, shards)
    check_plan(options.parallel, start.module.config, options.batch_size, options.row_tokens, options.optimizer)
    context.company.call(context.name)  # tokenizer and shards are there
    team, whole = share_out(context, options.parallel, start.module, lambda: start_of(context, options).module)
    bench = Bench(
        module=start.module,
        tokenizer=start.tokenizer,
        label=options.label or f"{context.models.card(reference)['label']}, gone on",
        shards=shards,
        rows=rows,
        objective=chosen_loss(context, options, start.module, loss_of(start.module.config, Causal()), rows),
        samples=samples,
        new_tokens=start.new_tokens,
        team=team,
        whole=whole,
    )
    return options, bench


def measured_once(context: StageContext, measure: Measure) -> dict[str, float]:
    """Bits per byte before the first step, kept for a stage that goes on later."""
    path = context.folder / "before.json"
    if not path.is_file():
        write_json(path, dict(measure()["bits_per_byte"]))
    found: dict[str, float] = read_json(path)
    return found
