"""What a tuned model says of records: its classes, tags, spans, or the text it writes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fourfold.adaptation.downstream.encoding import Row, RowMaker, in_batches, put_together, token_at
from fourfold.adaptation.downstream.features import Classifying
from fourfold.adaptation.downstream.records import Record, TaskKind
from fourfold.adaptation.downstream.scoring import Answer
from fourfold.inference import Engine, Request, Sampler, Sampling
from fourfold.models import (
    Config,
    EncoderDecoder,
    EncoderDecoderConfig,
    TransformerConfig,
    TransformerLM,
    is_packed,
    make_module,
)
from fourfold.models.elmo import ElmoFeatures, ElmoLM, FeatureClassifier
from fourfold.models.transformer import Task
from fourfold.tokenizers import Tokenizer
from fourfold.training import LanguageModelling, Objective, causal

Base = TransformerLM | EncoderDecoder | ElmoLM
"""What can be tuned on a task."""
Tuned = TransformerLM | EncoderDecoder | FeatureClassifier
AT_ONCE = 32
LONGEST_SPAN = 48
"""Tokens of an extracted answer, at most."""
KINDS = {"classification": "sequence", "tagging": "token", "extraction": "span"}


def task_config(config: Any, kind: TaskKind, classes: int, writes: bool) -> TransformerConfig | EncoderDecoderConfig:
    """The configuration of a model for a task: as it is where it writes, else with a classifier for a head."""
    if writes or not isinstance(config, TransformerConfig):
        assert isinstance(config, TransformerConfig | EncoderDecoderConfig)
        return config
    task = Task(kind=KINDS[kind], classes=2 if kind == "extraction" else classes)  # type: ignore[arg-type]  # one of the three
    pooler = config.mask == "bidirectional" and kind == "classification"  # one that was not trained starts at random
    return replace(config, head=None, pooler=pooler, task=task)


def make_tuned(
    config: TransformerConfig | EncoderDecoderConfig, seed: int, pretrained: nn.Module | None
) -> TransformerLM | EncoderDecoder:
    """A model of that configuration from random weights, or from those of a pre-trained one where names agree."""
    module = make_module(config)
    assert isinstance(module, TransformerLM | EncoderDecoder)
    module.initialise(torch.Generator().manual_seed(seed))
    if pretrained is not None:
        assert not is_packed(pretrained)  # its names would agree with none
        known = module.state_dict()
        state = {name: tensor for name, tensor in pretrained.state_dict().items() if name in known}
        module.load_state_dict({name: t for name, t in state.items() if not name.startswith("task.")}, strict=False)
    return module


def make_for_task(base: Base, config: Config, maker: RowMaker, seed: int, *, pretrained: bool) -> Tuned:
    """A model for the task of `maker`, from the weights of `base` or from random ones, drawn as `config` says."""
    if isinstance(base, ElmoLM):
        return make_on_elmo(base, maker, seed, pretrained=pretrained)
    config = task_config(config, maker.kind, len(maker.classes), maker.writes)
    return make_tuned(config, seed, base if pretrained else None)


def task_objective(module: Tuned, maker: RowMaker) -> Objective:
    if isinstance(module, FeatureClassifier):
        return Classifying()
    weights = {"cross_entropy": 1.0} if maker.writes else {"classes": 1.0}
    return LanguageModelling(weights=weights, span=maker.kind == "extraction")


def make_on_elmo(base: ElmoLM, maker: RowMaker, seed: int, *, pretrained: bool) -> FeatureClassifier:
    """A classifier on the states of an ELMo that stays as it is; on those of one from random weights, which learn."""
    elmo = deepcopy(base)
    if not pretrained:
        elmo.initialise(torch.Generator().manual_seed(seed))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        features = ElmoFeatures(elmo, frozen=pretrained)
        return FeatureClassifier(features, len(maker.classes), of_tokens=maker.kind == "tagging")


def answer_records(module: Tuned, maker: RowMaker, tokenizer: Tokenizer, records: Sequence[Record]) -> list[Answer]:
    """One answer a record, by the most probable class, tags, span, or words."""
    module.eval()
    if maker.writes:
        assert isinstance(module, TransformerLM | EncoderDecoder)
        return list(_written(module, maker, tokenizer, records))
    assert isinstance(module, TransformerLM | FeatureClassifier)
    rows = [maker.row(record) for record in records]
    answers: dict[int, Answer] = {}
    for numbers in in_batches(rows, AT_ONCE):
        batch = put_together([replace(rows[number], targets=None) for number in numbers], maker.marks.end)
        with torch.inference_mode():
            scores = module.classify(module.hidden(batch.step()), batch.lengths).float()
        for number, found in zip(numbers, scores, strict=True):
            answers[number] = _answer(maker, records[number], rows[number], found)
    return [answers[number] for number in range(len(records))]


def _answer(maker: RowMaker, record: Record, row: Row, scores: Tensor) -> Answer:
    if maker.kind == "classification":
        return maker.classes[int(scores.argmax())]
    if maker.kind == "tagging":
        best = scores.argmax(-1).tolist()
        places = [token_at(row.offsets, tag.start) for tag in record.tags]
        return ["" if place is None else maker.classes[best[place]] for place in places]
    first, last = best_span(scores, row)
    return record.text[row.offsets[first][0] : row.offsets[last][1]].strip()


def best_span(scores: Tensor, row: Row) -> tuple[int, int]:
    """The pair of places in the text, the second not before the first, whose scores have the greatest sum
    (Devlin et al. 2019, section 4.2)."""
    inside = torch.tensor([start >= 0 for start, _ in row.offsets])
    ends = scores[: len(row.offsets)].masked_fill(~inside[:, None], -torch.inf)  # (T, 2)
    pairs = ends[:, 0, None] + ends[None, :, 1]
    allowed = torch.ones_like(pairs, dtype=torch.bool).triu().tril(LONGEST_SPAN - 1)
    if not bool(inside.any()):
        return 0, 0
    best = int(pairs.masked_fill(~allowed, -torch.inf).argmax())
    return divmod(best, len(row.offsets))


def _written(
    module: TransformerLM | EncoderDecoder, maker: RowMaker, tokenizer: Tokenizer, records: Sequence[Record]
) -> Sequence[str]:
    """The most probable next token until the end token."""
    texts: list[str] = []
    sampler = Sampler(Sampling(temperature=0.0))
    engine = Engine(causal(module), next(module.parameters()).device)
    two_sided = isinstance(module, EncoderDecoder)
    for start in range(0, len(records), AT_ONCE):
        prompts = [maker.prompt(record) for record in records[start : start + AT_ONCE]]
        answers = [
            engine.submit(
                Request(
                    ids=[maker.marks.start] if two_sided else prompt,
                    source=prompt if two_sided else None,
                    whole=maker.form == "prefix",
                    max_tokens=min(maker.answer_tokens, maker.context - 1),
                    sampler=sampler,
                    stop_ids=frozenset({maker.marks.end}),
                )
            )
            for prompt in prompts
        ]
        texts += [
            tokenizer.decode([token.id for token in answer if token.id is not None]).strip() for answer in answers
        ]
    return texts
