"""What `[pretrain.…]` trains: the configuration, batches and loss that an objective asks of a family."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.errors import UserError
from fourfold.files import read_json

if TYPE_CHECKING:
    from fourfold.models import Config
    from fourfold.pretraining.corpus import BatchRamp, RowSource, StreamBatches, TokenShards, WindowBatches
    from fourfold.pretraining.objectives import Form, ObjectiveBatches, PretrainingObjective
    from fourfold.tokenizers import Tokenizer
    from fourfold.training import Objective
    from fourfold.workflow.context import StageContext
    from fourfold.workflow.pretraining.options import PretrainOptions
    from fourfold.workflow.training import Budget


def chosen_objective(options: PretrainOptions) -> PretrainingObjective:
    from fourfold.pretraining.objectives import Causal, make_objective

    return Causal() if options.objective is None else make_objective(options.objective)


def model_form(config: Config) -> Form:
    """What the model lets a token look at; a recurrent model reads from left to right, ELMo also from the right."""
    from fourfold.models import RecurrentConfig
    from fourfold.models.elmo import ElmoConfig
    from fourfold.pretraining.objectives import form_of

    if isinstance(config, ElmoConfig):
        return "both-directions"
    return "causal" if isinstance(config, RecurrentConfig) else form_of(config)


def full_config(options: PretrainOptions, tokenizer: Tokenizer, target: PretrainingObjective) -> Config:
    """The configuration with what the objective asks of it: a classifier, the ids a decoder begins with."""
    from fourfold.models import EncoderDecoderConfig, TransformerConfig, model_config
    from fourfold.models.transformer import Task
    from fourfold.pretraining.objectives import Marks

    config = model_config(options.table, tokenizer.vocabulary_size)
    if isinstance(config, EncoderDecoderConfig):
        marks = Marks.of(tokenizer)
        return replace(config, decoder_start_id=marks.start, empty_source=(marks.end,))
    if isinstance(config, TransformerConfig) and target.classes:
        return replace(config, pooler=True, task=Task(kind="sequence", classes=target.classes))
    return config


def new_module(config: Config, seed: int, tokenizer: Tokenizer) -> Any:
    """A model of that configuration, told how the tokens are spelt if it reads that; equal seeds give equal weights."""
    import torch

    from fourfold.models import make_module
    from fourfold.models.elmo import ElmoConfig, ElmoLM, spell

    module = make_module(config)
    module.initialise(torch.Generator().manual_seed(seed))
    if isinstance(module, ElmoLM) and isinstance(config, ElmoConfig) and config.characters is not None:
        tokens = [tokenizer.token_bytes(id) for id in range(tokenizer.vocabulary_size)]
        module.spell(spell(tokens, config.characters.width))
    return module


def make_batches(
    context: StageContext,
    options: PretrainOptions,
    target: PretrainingObjective,
    form: Form,
    tokenizer: Tokenizer,
    shards: TokenShards,
) -> RowSource | StreamBatches:
    """Rows of the corpus, with the replayed text's between them; in order where each goes on with its memory."""
    from fourfold.pretraining.corpus import ReplayedRows, StreamBatches, WindowBatches

    rows = rows_of(options, target, form, tokenizer, shards, context.seed)
    if options.carry:
        assert isinstance(rows, WindowBatches)  # checked with the recipe: the next token
        return StreamBatches(rows)
    if options.replay is None:
        return rows
    other = split_shards(context, options, tokenizer, "train", options.replay)
    return ReplayedRows(rows, rows_of(options, target, form, tokenizer, other, context.seed), options.replay_share)


def rows_of(
    options: PretrainOptions,
    target: PretrainingObjective,
    form: Form,
    tokenizer: Tokenizer,
    shards: TokenShards,
    seed: int,
) -> WindowBatches | ObjectiveBatches:
    """Windows of the whole text for the next token, pieces of documents for every other objective."""
    from fourfold.pretraining.corpus import WindowBatches
    from fourfold.pretraining.objectives import Causal, Marks, ObjectiveBatches

    if isinstance(target, Causal):
        return WindowBatches(shards, options.batch_size, options.row_tokens, seed, tokenizer.document_start_id)
    marks = Marks.of(tokenizer, target.needs)
    return ObjectiveBatches(
        shards, target, marks, form, batch_size=options.batch_size, context=options.row_tokens, seed=seed
    )


def text_a_row(rows: RowSource | StreamBatches, shards: TokenShards) -> float:
    """Tokens of the corpus that a row uses, the replayed rows counted as using none."""
    from fourfold.pretraining.corpus import ReplayedRows, StreamBatches, WindowBatches
    from fourfold.pretraining.objectives import ObjectiveBatches

    if isinstance(rows, ReplayedRows):
        return text_a_row(rows.main, shards) * (1 - rows.share)
    if isinstance(rows, ObjectiveBatches):
        return shards.token_count / rows.rows
    assert isinstance(rows, WindowBatches | StreamBatches)
    return float(rows.context)


def replays(rows: RowSource | StreamBatches, read: int) -> float:
    """Passes over the replayed text in so many rows of both."""
    from fourfold.pretraining.corpus import ReplayedRows, WindowBatches

    if not isinstance(rows, ReplayedRows):
        return 0.0
    assert isinstance(rows.other, WindowBatches)  # a model is gone on from by predicting the next token
    return read * rows.share / rows.other.windows


def ramp_of(options: PretrainOptions) -> BatchRamp | None:
    from fourfold.pretraining.corpus import BatchRamp

    wanted = options.ramp
    return None if wanted is None else BatchRamp(start=wanted.start, full=options.batch_size, steps=wanted.steps)


def steps_of(options: PretrainOptions, tokens_a_step: int) -> Budget:
    """The budget; one in tokens as steps where the first steps read less than the last."""
    ramp, budget = ramp_of(options), options.budget
    assert budget is not None  # checked with the recipe
    if ramp is None or budget.tokens is None:
        return budget
    return budget.model_copy(
        update={"tokens": None, "steps": ramp.steps_for(math.ceil(budget.tokens * ramp.full / tokens_a_step))}
    )


def loss_of(config: Config, target: PretrainingObjective) -> Objective:
    """Cross-entropy, and, where they apply, the classes of the rows and the balance of the experts."""
    from fourfold.models import EncoderDecoderConfig, RecurrentConfig
    from fourfold.models.elmo import ElmoConfig
    from fourfold.training import BothDirections, LanguageModelling

    if isinstance(config, ElmoConfig):
        return BothDirections()
    weights = {"cross_entropy": 1.0} | ({"classes": 1.0} if target.classes else {})
    stack = config.decoder if isinstance(config, EncoderDecoderConfig) else config
    if not isinstance(stack, RecurrentConfig) and (experts := stack.feed_forward.experts) is not None:
        routing = {"balance": experts.balance_weight, "router_z": experts.z_weight}
        weights |= {name: weight for name, weight in routing.items() if weight}
    return LanguageModelling(weights=weights)


def split_shards(
    context: StageContext, options: PretrainOptions, tokenizer: Tokenizer, split: str, corpus: str | None = None
) -> TokenShards:
    """The tokenizer's shards of a split when it has read the same corpus, else shards of our own."""
    from fourfold.pretraining.corpus import encode_corpus

    wanted = corpus or options.corpus
    if options.tokenizer is not None:
        card = read_json(context.output_of(options.tokenizer, "card.json"))
        if card["corpus"] == wanted:
            return _opened(context.output_of(options.tokenizer, f"shards/{split}"), context.path(options.tokenizer))
    folder = context.folder / "shards" / (split if corpus is None else f"{corpus}-{split}")
    if not (folder / "manifest.json").is_file():
        encode_corpus(context.path(wanted), tokenizer, folder, split=split)
    return _opened(folder, folder)


def _opened(folder: Path, made_in: Path) -> TokenShards:
    """Shards that are as they were written; else the error says what to delete so that they are written again."""
    from fourfold.pretraining.corpus import TokenShards

    try:
        return TokenShards.open(folder, verified=True)
    except UserError as error:
        raise UserError(str(error), advice=f"Delete {made_in} and run again.") from None


def held_out_batches(
    context: StageContext, options: PretrainOptions, target: PretrainingObjective, config: Config, tokenizer: Tokenizer
) -> ObjectiveBatches | None:
    """Rows of the validation split for the objective; None where bits per byte say it all."""
    from fourfold.pretraining.objectives import Causal, ObjectiveBatches

    if isinstance(target, Causal):
        return None
    shards = split_shards(context, options, tokenizer, "validation")
    batches = rows_of(options, target, model_form(config), tokenizer, shards, seed=0)
    assert isinstance(batches, ObjectiveBatches)
    return batches


def save_network(module: Any, tokenizer: Tokenizer, folder: Path, name: str) -> None:
    """A model folder that `fourfold.load` reads back, its tokenizer framing texts as they were in training:
    `[CLS] text [SEP]` for an encoder, `text <end>` for an encoder-decoder."""
    from fourfold.inference import ContextEncoder, LanguageModel, TextEncoder
    from fourfold.models import EncoderDecoder, TransformerLM
    from fourfold.models.elmo import ElmoLM
    from fourfold.tokenizers import END_OF_TEXT, framed

    module.eval()
    if isinstance(module, ElmoLM):
        ContextEncoder(module, tokenizer, name=name).save(folder)
        return
    if isinstance(module, TransformerLM) and module.config.mask == "bidirectional":
        TextEncoder(module, framed(tokenizer, start="[CLS]", end="[SEP]"), name=name).save(folder)
        return
    if isinstance(module, EncoderDecoder):
        tokenizer = framed(tokenizer, end=END_OF_TEXT)
    LanguageModel(module, tokenizer, name=name).save(folder)
