"""`[finetune.name]`: train all weights of a pre-trained model on a downstream task, and weigh what pre-training gave.

    [finetune.era]
    model = "pretrain.encoder"     # or any model folder
    task = "classification"        # classification, tagging, extraction, seq2seq
    data = "period"                # made from the corpus, or a file of your own: "reviews.jsonl"
    corpus = "corpus.text"
    budget = { steps = 300 }

Made from the corpus, without a file: `period` (classification), `token-types` (tagging), `functions`
(extraction) and `docstrings` (seq2seq); see `adaptation/downstream/made.py`. What is held out there are the documents
that the corpus holds out, so pre-training has not read them either. A file has one object a line:

    classification   {"text": …, "label": …}, and "question" where there are two texts
    tagging          {"tokens": [word, …], "tags": [tag, …]}
    extraction       {"context": …, "question": …, "answer": …}
    seq2seq          {"source": …, "target": …}

A fifth of a file is held out, whole groups where records have a "group", unless `held_out` names another file.
The same model is trained the same way from random weights, and both do the same held-out records. A pre-trained ELMo
is features: only the mixture of its layers and the classifier learn; one from random weights learns whole.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_folder, write_json, write_jsonl
from fourfold.progress import say
from fourfold.workflow.kinds import FILE_SUFFIXES, Options, StageKind, Use, need
from fourfold.workflow.pretraining import model_form
from fourfold.workflow.task_results import PRETRAINED, RANDOM, Trial, shown, weigh
from fourfold.workflow.training import Budget, CheckpointOptions, Fit, OptimizerOptions, Totals, decide_steps, run_fit

if TYPE_CHECKING:
    from fourfold.adaptation.downstream import Base, Record, RowMaker, Tuned
    from fourfold.models import Config
    from fourfold.tokenizers import Tokenizer
    from fourfold.workflow.context import StageContext


class FinetuneOptions(Options):
    """Which model learns which task from what."""

    model: str
    """A pretrain stage or a model folder."""
    task: Literal["classification", "tagging", "extraction", "seq2seq"]
    """What is asked of a text: its class, a tag a token, the words that answer a question, or another text."""
    data: str
    """`period`, `token-types`, `functions` or `docstrings`, made from the corpus, or a JSONL file."""
    held_out: str | None = None
    """A file to be measured on; without it, a fifth of `data`."""
    corpus: str | None = None
    """The corpus that the data is made from: its held-out documents give the held-out records."""
    label: str | None = None
    """What figures call the tuned model."""
    examples: int = Field(default=4000, ge=1)
    """Records to learn from, at most."""
    limit: int = Field(default=400, ge=1)
    """Held-out records, at most."""
    batch_size: int = Field(default=16, ge=1)
    """Records of a step."""
    context: int | None = Field(default=None, ge=16)
    """Tokens of a row; without it the model's own context. Longer texts are cut."""
    compare: bool = True
    """Train the same model from random weights too."""
    optimizer: OptimizerOptions = OptimizerOptions(lr=5e-4, weight_decay=0.01, schedule="linear", warmup=0.1, final=0.0)
    """The optimizer."""
    budget: Budget
    """How long to train, each of the two."""
    checkpoint: CheckpointOptions = CheckpointOptions()
    """How much work a crash may cost."""

    @property
    def is_file(self) -> bool:
        return any(self.data.endswith(suffix) for suffix in FILE_SUFFIXES)


def uses(options: FinetuneOptions) -> list[Use]:
    files = [("data", options.data)] if options.is_file else []
    files += [("held_out", options.held_out)] if options.held_out else []
    corpus = [Use("corpus", options.corpus, ("corpus",))] if options.corpus else []
    model = Use("model", options.model, ("pretrain",), outside=True)
    return [model, *corpus, *(Use(key, file, (), outside=True) for key, file in files)]


def check(options: FinetuneOptions) -> None:
    from fourfold.adaptation.downstream import MADE

    if options.is_file:
        return
    if options.data not in MADE:
        raise unknown_name("data", options.data, [*MADE, "FILE.jsonl"])
    if MADE[options.data].kind != options.task:
        raise UserError(f"'{options.data}' is data for task '{MADE[options.data].kind}'", got=options.task)
    if options.held_out is not None:
        raise UserError("'held_out' goes with a file", got=f"data '{options.data}'")
    need(options.corpus, "corpus", f"data '{options.data}'")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What both trainings share."""

    options: FinetuneOptions
    base: Base
    config: Config
    """Of the base, its weights drawn as they were before pre-training."""
    tokenizer: Tokenizer
    maker: RowMaker
    train: list[Record]
    held_out: list[Record]


def run(context: StageContext, options: FinetuneOptions) -> None:
    from fourfold.adaptation.downstream import answer_records

    bench = set_up(context, options)
    sides = (PRETRAINED, RANDOM) if options.compare else (PRETRAINED,)
    answers, totals = {}, Totals()
    for side in sides:
        module, totals = tune(context, bench, side)
        answers[side] = answer_records(module, bench.maker, bench.tokenizer, bench.held_out)
        if side == PRETRAINED:
            save(context, bench, module)
    label = options.label or context.name
    trial = Trial(kind=options.task, data=options.data, train=bench.train, held_out=bench.held_out, answers=answers)
    results = weigh(trial, context.name, label, context.seed)
    write_json(context.folder / "results.json", results)
    write_jsonl(context.folder / "samples.jsonl", shown(trial))
    for side in sides:
        shutil.rmtree(context.folder / side / "checkpoints", ignore_errors=True)
    card = {
        "label": label,
        "generation": context.models.card(options.model)["generation"],
        "base": options.model,
        "task": options.task,
        "data": options.data,
        "examples": len(bench.train),
        "held_out": len(bench.held_out),
        "steps": totals.steps,
        "seconds_trained": round(totals.seconds, 3),
        "budget": options.budget.model_dump(exclude_none=True),
        "sentence": results["sentence"],
    }
    write_json(context.folder / "card.json", card)
    say(results["sentence"])


def set_up(context: StageContext, options: FinetuneOptions) -> Bench:
    from fourfold.adaptation.downstream import RowMaker
    from fourfold.models import EncoderDecoder, TransformerLM, make_dense, with_axes
    from fourfold.models.elmo import ElmoLM

    model = context.models.fresh(options.model)
    base = getattr(model, "module", None)  # an endpoint has none
    if not isinstance(base, TransformerLM | EncoderDecoder | ElmoLM):
        raise UserError("this model cannot be tuned on a task", where=options.model, expected="a transformer or ELMo")
    make_dense(base)
    train, held_out = records(context, options)
    classes = sorted({record.answer for record in train} | {tag.name for record in train for tag in record.tags})
    table = context.models.card(options.model).get("config", {})
    started = {axis: table[axis] for axis in ("initialisation",) if axis in table}  # which model files do not hold
    config = base.config if isinstance(base, ElmoLM) else with_axes(base.config, started)
    longest = config.context
    if isinstance(base, EncoderDecoder):
        longest = min(longest, base.config.encoder.context)
    row = min(options.context or longest, longest)
    maker = RowMaker(
        model.tokenizer,
        options.task,
        model_form(config),
        row,
        classes if options.task in ("classification", "tagging") else (),
    )
    say(f"{context.name}: {len(train)} records to learn from, {len(held_out)} held out")
    return Bench(
        options=options,
        base=base,
        config=config,
        tokenizer=model.tokenizer,
        maker=maker,
        train=train,
        held_out=held_out,
    )


def records(context: StageContext, options: FinetuneOptions) -> tuple[list[Record], list[Record]]:
    """What to learn from and what to be measured on, each drawn by the seed from all there is."""
    import random

    from fourfold.adaptation.downstream import MADE, hold_out, read_task_records
    from fourfold.pretraining.corpus import read_documents

    if options.is_file:
        train = read_task_records(context.path(options.data), options.task)
        if options.held_out:
            held_out = read_task_records(context.path(options.held_out), options.task)
        else:
            train, held_out = hold_out(train)
    else:
        assert options.corpus is not None  # checked with the recipe
        made, corpus = MADE[options.data], context.path(options.corpus)
        train, *others = (
            list(made.make(read_documents(corpus / f"{split}.jsonl"))) for split in ("train", "validation", "test")
        )
        held_out = others[0] + others[1]
    if not train or not held_out:
        raise UserError(
            "too little data for this task", got=f"{len(train)} records to learn from, {len(held_out)} held out"
        )
    if options.task == "classification" and len({record.answer for record in held_out}) == 1:
        raise UserError(
            "the held-out records are all of one class", where=context.name, got=held_out[0].answer,
            advice='Give a held_out file with all classes, or a corpus with hold_out = "hash".',
        )  # fmt: skip
    draw = random.Random(context.seed)
    return draw.sample(train, min(len(train), options.examples)), draw.sample(
        held_out, min(len(held_out), options.limit)
    )


def tune(context: StageContext, bench: Bench, side: str) -> tuple[Tuned, Totals]:
    """Train one side to the end, in a folder of its own within the stage's."""
    from fourfold.adaptation.downstream import TaskBatches, make_for_task, task_objective
    from fourfold.training import choose_precision, steps_for_seconds

    options, maker = bench.options, bench.maker
    module = make_for_task(bench.base, bench.config, maker, context.seed, pretrained=side == PRETRAINED)
    rows = [maker.row(record) for record in bench.train]
    kept = rows if maker.writes else [row for row in rows if row.targets is not None]
    if len(kept) < len(rows) and side == PRETRAINED:
        say(f"{context.name}: the context of {maker.context} tokens cuts off {len(rows) - len(kept)} answers")
    if not kept:
        raise UserError("no answer fits the context", where=context.name, got=f"{maker.context} tokens")
    batches = TaskBatches(kept, maker.marks.end, options.batch_size, context.seed)
    objective = task_objective(module, maker)
    optimizer, precision = options.optimizer.make(module), choose_precision("cpu", module)

    def probe(seconds: float) -> int:
        return steps_for_seconds(module, objective, batches, optimizer, seconds, precision=precision)

    tokens = max(1, sum(batches.order.lengths) * options.batch_size // len(kept))
    steps = decide_steps(context.folder, options.budget, tokens, probe)
    fit = Fit(
        model=module,
        objective=objective,
        batches=batches,
        optimizer=optimizer,
        update=options.optimizer,
        precision=precision,
        steps=steps,
        label=f"{context.name}, {side} weights",
        one_batch=batches.order.steps_per_epoch == 1,
    )
    folder = context.folder / side
    folder.mkdir(exist_ok=True)
    return module, run_fit(replace(context, folder=folder), fit, options.checkpoint)


def save(context: StageContext, bench: Bench, module: Tuned) -> None:
    """The tuned model as a folder that `fourfold.load` reads."""
    from fourfold.inference import ContextEncoder, LanguageModel, TextEncoder
    from fourfold.models import TransformerLM
    from fourfold.models.elmo import FeatureClassifier

    with atomic_folder(context.folder / "model") as part:
        if isinstance(module, FeatureClassifier):
            ContextEncoder(module, bench.tokenizer, name=context.name, labels=bench.maker.classes).save(part)
        elif isinstance(module, TransformerLM) and module.config.mask == "bidirectional":
            TextEncoder(module, bench.tokenizer, name=context.name, labels=bench.maker.classes).save(part)
        else:
            LanguageModel(module, bench.tokenizer, name=context.name).save(part)


KIND = StageKind(
    name="finetune",
    options=FinetuneOptions,
    uses=uses,
    run=run,
    check=check,
    code=(
        "adaptation",
        "pretraining.objectives",
        "training",
        "inference",
        "models",
        "tokenizers",
        "workflow.training",
        "workflow.task_results",
    ),
)
