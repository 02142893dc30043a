"""Experiments on features: learn static vectors, ELMo or an encoder from a text, and use them on labelled records."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fourfold.adaptation.downstream import (
    MADE,
    Classifying,
    EncoderFeatures,
    Record,
    RowMaker,
    StaticFeatures,
    TaskBatches,
    hold_out,
    read_task_records,
    share_right,
)
from fourfold.errors import UserError, unknown_name
from fourfold.files import hash_value
from fourfold.models import TransformerLM, build_model, count_parameters
from fourfold.models.elmo import ElmoConfig, ElmoFeatures, ElmoLM, FeatureClassifier, Features
from fourfold.models.vectors import Sentences, Training, VectorsConfig, train_vectors
from fourfold.pretraining.corpus import TokenShards, WindowBatches, read_documents
from fourfold.pretraining.objectives import Form, Marks, MaskedLM, ObjectiveBatches
from fourfold.progress import task
from fourfold.tokenizers import Tokenizer
from fourfold.training import (
    BatchSource,
    BothDirections,
    Guard,
    LanguageModelling,
    Objective,
    adamw,
    make_schedule,
    train,
)
from fourfold.workflow.claims.cells import Cell, expand
from fourfold.workflow.claims.data import drawn
from fourfold.workflow.claims.spec import Claim, Labelled, Size, TrainingOptions
from fourfold.workflow.context import StageContext
from fourfold.workflow.fingerprint import code_fingerprint
from fourfold.workflow.recipe import parse_recipe
from fourfold.workflow.runner import run_recipe

RECIPE = """name = "data"
[corpus.text]
sources = {sources}
hold_out = "hash"
held_out_fraction = 0.1
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = {vocabulary_size}
reserve = ["mask"]
"""
SHARES = {"static": 0.1, "elmo": 2.0, "encoder": 1.0}
"""Features -> about how long they take, beside the others."""


class FeatureModels:
    """An experiment whose models are learnt here from the claim's text and judged by labels."""

    code: tuple[str, ...] = (
        "adaptation.downstream", "kernels", "models", "pretraining", "tokenizers", "training",
        "workflow.claims.labelling",
    )  # fmt: skip

    def __init__(self, claim: Claim, size: Size, folder: Path, data: Path | None) -> None:
        assert claim.labelled is not None
        self._options: Labelled = claim.labelled
        self._claim, self._data = claim, data
        sources = "[" + ", ".join(f'"{source}"' for source in claim.data.sources) + "]"
        recipe = RECIPE.format(sources=sources, vocabulary_size=claim.data.vocabulary_size)
        run_recipe(parse_recipe(recipe), folder)
        made = folder / "data" / "tokenizer.bpe"
        self._tokenizer = Tokenizer.load(made)
        self._shards = TokenShards.open(made / "shards" / "train")
        self._records = _records(self._options, folder / "data" / "corpus.text", data)
        self.cells: Sequence[Cell] = expand(claim, size)
        for cell in self.cells:
            if cell.model.get("features") not in SHARES:
                raise unknown_name("features", str(cell.model.get("features")), SHARES)

    def describe(self) -> dict[str, Any]:
        train, held_out = self._records
        often = Counter(record.answer for record in held_out).most_common(1)[0][1]
        return {
            "source": self._options.data if self._data is None else self._data.name,
            "classes": len(self._classes()),
            "train_tokens": self._shards.token_count,
            "vocabulary_size": self._tokenizer.vocabulary_size,
            "train_records": len(train),
            "held_out_records": len(held_out),
            "examples": min(self._options.examples, len(train)),
            "limit": min(self._options.limit, len(held_out)),
            "majority": often / len(held_out),
        }

    def work(self, cell: Cell) -> float:
        return SHARES[cell.model["features"]]

    def keys(self) -> dict[str, str]:
        common = {
            "tokens": self._tokenizer.hash,
            "text": list(self._claim.data.sources),
            "records": [[(record.text, record.answer) for record in part] for part in self._records],
            "labelled": self._options.model_dump(),
            "code": code_fingerprint(self.code),
        }
        shared = hash_value(common)
        return {cell.name: hash_value([shared, cell.identity()]) for cell in self.cells}

    def make(self, context: StageContext, cell: Cell) -> dict[str, Any]:
        """Learn the features, then the labels with them."""
        features = self._features(cell)
        model, right = self._labelled(features, cell)
        facts = {"making": "trained", "parameters": count_parameters(model), "flops": 0.0, "diverged": False}
        measured = [{"labels": dict(cell.labels), "numbers": {"labelled": right}, "curves": {}}]
        return {"measured": measured, "seed": cell.seed, "steps": cell.steps, **facts}

    def _features(self, cell: Cell) -> Features:
        table, training = dict(cell.model), cell.training
        kind = table.pop("features")
        if kind == "static":
            return StaticFeatures(torch.from_numpy(self._static(table, cell)))
        if kind == "elmo":
            config = ElmoConfig(vocabulary_size=self._tokenizer.vocabulary_size, context=training.context, **table)
            elmo = ElmoLM(config)
            elmo.initialise(torch.Generator().manual_seed(cell.seed))
            start = self._tokenizer.document_start_id
            windows = WindowBatches(self._shards, training.batch_size, training.context, cell.seed, start)
            _fit(elmo, BothDirections(), windows, training, cell.steps, cell)
            return ElmoFeatures(elmo.eval())
        vocabulary_size = self._tokenizer.vocabulary_size
        encoder = build_model({"family": "bert", "context": training.context, **table}, vocabulary_size, seed=cell.seed)
        assert isinstance(encoder, TransformerLM)
        rows = ObjectiveBatches(
            self._shards, MaskedLM(), Marks.of(self._tokenizer, ("mask",)), "bidirectional",
            batch_size=training.batch_size, context=training.context, seed=cell.seed,
        )  # fmt: skip
        _fit(encoder, LanguageModelling(), rows, training, cell.steps, cell)
        return EncoderFeatures(encoder)

    def _static(self, table: dict[str, Any], cell: Cell) -> Any:
        """(V, D) skip-gram vectors of the tokens, from as many tokens as the other features read."""
        wanted = cell.steps * cell.training.batch_size * cell.training.context
        shards = drawn(self._shards, min(wanted, self._shards.token_count), cell.seed)
        tokens = np.asarray(shards.tokens, np.int32)
        counts = np.bincount(tokens, minlength=self._tokenizer.vocabulary_size)
        names = [str(number) for number in range(len(counts))]
        sentences = Sentences(words=names, counts=counts, tokens=tokens, ends=np.asarray(shards.ends, np.int64))
        config = VectorsConfig(seed=cell.seed, epochs=max(1, round(wanted / len(tokens))), **table)
        state = Training.start(config, sentences)
        with task(cell.title, state.words(sentences), "tokens") as work:
            for step in train_vectors(state, sentences):
                work.advance(step.words)
        return state.matrix

    def _labelled(self, features: Features, cell: Cell) -> tuple[nn.Module, float]:
        draw = random.Random(cell.seed)
        own, (every, others) = self._options, self._records
        learnt = draw.sample(every, min(own.examples, len(every)))
        held_out = draw.sample(others, min(own.limit, len(others)))
        form: Form = "bidirectional" if isinstance(features, EncoderFeatures) else "causal"
        maker = RowMaker(self._tokenizer, "classification", form, cell.training.context, self._classes())
        rows = [maker.row(record) for record in learnt]
        torch.manual_seed(cell.seed)
        model = FeatureClassifier(features, len(self._classes()), of_tokens=False)
        batches = TaskBatches(rows, maker.marks.end, own.batch_size, cell.seed)
        rate = cell.training.model_copy(update={"lr": TUNING_RATES[form]})
        _fit(model, Classifying(), batches, rate, own.steps, cell)
        return model, share_right(model, [maker.row(record) for record in held_out], maker.marks.end)

    def _classes(self) -> list[str]:
        return sorted({record.answer for record in self._records[0]})


TUNING_RATES = {"bidirectional": 5e-4, "causal": 5e-3}
"""Peak learning rates of the task: of all weights of an encoder, and of what stands on frozen features."""


def _fit(
    model: nn.Module, objective: Objective, batches: BatchSource, training: TrainingOptions, steps: int, cell: Cell
) -> None:
    """Train through the one loop, in fp32."""
    optimizer = adamw(model, training.lr, weight_decay=training.weight_decay)
    schedule = make_schedule(training.schedule, training.lr, steps, warmup=round(training.warmup * steps))
    with task(f"{cell.title}: {type(objective).__name__}", steps, "steps") as work:
        for step in train(
            model, objective, batches, optimizer, steps=steps, schedule=schedule, guard=Guard(clip=training.clip),
            seed=cell.seed,
        ):  # fmt: skip
            work.advance(1, f"loss {step.losses['loss']:.3f}")


def _records(options: Labelled, corpus: Path, data: Path | None) -> tuple[list[Record], list[Record]]:
    """To learn from, and held out: of a file a fifth, of the text the documents it holds out."""
    if data is not None:
        return hold_out(read_task_records(data, "classification"))
    if options.data not in MADE or MADE[options.data].kind != "classification":
        raise UserError("no labelled records to classify", where="labelled", got=options.data)
    made = MADE[options.data]
    first, *others = (
        list(made.make(read_documents(corpus / f"{split}.jsonl"))) for split in ("train", "validation", "test")
    )
    return first, [record for part in others for record in part]
