"""Objectives by name, the tokens they need, and batches by step."""

import itertools

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM
from fourfold.models.transformer import Attention, FeedForward, Task
from fourfold.pretraining.corpus import TokenShards
from fourfold.pretraining.objectives import (
    OBJECTIVES,
    RESERVED,
    Causal,
    Denoising,
    Marks,
    MaskedLM,
    ObjectiveBatches,
    SpanCorruption,
    form_of,
    make_objective,
)
from fourfold.tokenizers import END_OF_TEXT, byte_tokenizer, train_byte_bpe
from fourfold.training import IGNORED, LanguageModelling, adamw, constant, train


@pytest.fixture
def shards(marks):
    random = np.random.default_rng(0)
    sizes = [3, 50, 200, 90, 7, 64]
    tokens = random.choice(marks.ordinary, sum(sizes)).astype("<u2")
    return TokenShards(tokens, np.cumsum(sizes), {"documents": len(sizes)})


def batches(shards, objective, marks, form=None, batch_size=4, context=32, seed=1):
    form = form or objective.forms[0]
    return ObjectiveBatches(shards, objective, marks, form, batch_size=batch_size, context=context, seed=seed)


def same(left, right):
    return all(
        (a is None and b is None) or torch.equal(a, b)
        for a, b in ((getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__)
    )


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_step_is_a_function_of_seed_and_step(shards, marks, kind):
    objective = make_objective({"kind": kind})
    for form in objective.forms:
        one, other = batches(shards, objective, marks, form), batches(shards, objective, marks, form)
        later = [same(one.at(step)[0], other.at(step)[0]) for step in (5, 0, 2)]
        assert later == [True] * 3
        assert not same(one.at(0)[0], batches(shards, objective, marks, form, seed=2).at(0)[0])
        for step in range(8):
            (batch,) = one.at(step)
            assert batch.ids.shape[1] <= 32
            assert batch.ids.shape == batch.labels.shape
            assert batch.source is None or batch.source.shape[1] <= 32
            assert (batch.labels != IGNORED).any()


def test_every_piece_is_visited_once_an_epoch(shards, marks):
    source = batches(shards, Causal(), marks, batch_size=1)
    assert source.rows == 2 + 7 + 3 + 1 + 2  # 50, 200, 90, 7 and 64 tokens in pieces of 31; the rest of 2 is dropped
    seen = []
    for step in range(source.rows):
        (batch,) = source.at(step)
        seen.append(tuple(batch.ids[0].tolist()))
    assert len(set(seen)) == source.rows
    tokens = sum(len(row) - 1 for row in seen)
    assert tokens == 50 + 200 + 90 + 7 + 62
    again = {tuple(source.at(step)[0].ids[0].tolist()) for step in range(source.rows, 2 * source.rows)}
    assert again == set(seen)


def test_dynamic_masks_change_with_the_epoch_and_static_ones_do_not(shards, marks):
    for dynamic in (True, False):
        source = batches(shards, MaskedLM(dynamic=dynamic), marks, batch_size=1)
        epochs = [[source.at(epoch * source.rows + step)[0] for step in range(source.rows)] for epoch in range(2)]
        masks = [{tuple(b.labels[0].tolist()) for b in epoch} for epoch in epochs]
        assert (masks[0] == masks[1]) == (not dynamic)


def test_next_sentences_come_from_other_documents(shards, marks):
    source = batches(shards, MaskedLM(pairs="next-sentence"), marks, batch_size=2)
    documents = [set(zip(document.tolist(), document[1:].tolist(), strict=False)) for document in shards]
    for step in range(10):
        (batch,) = source.at(step)
        lengths = [32, 32] if batch.lengths is None else batch.lengths.tolist()
        originals = torch.where(batch.labels == IGNORED, batch.ids, batch.labels)
        for row, target, segments, length in zip(originals, batch.targets, batch.segments, lengths, strict=True):
            second = row[:length][segments[:length] == 1][:-1].tolist()
            first = row[:length][segments[:length] == 0][1:-1].tolist()
            both = [
                [index for index, pairs in enumerate(documents) if set(itertools.pairwise(part)) <= pairs]
                for part in (first, second)
            ]
            if len(first) > 2 and len(second) > 2:
                assert (both[0] == both[1]) == (int(target) == 0)


def test_a_vocabulary_without_the_tokens_is_refused_with_the_remedy(shards):
    plain = train_byte_bpe(["a few words"] * 3, 300)
    for objective, names in [(MaskedLM(), r"\[MASK\], \[CLS\], \[SEP\]"), (SpanCorruption(), r"<extra_id_0>.*97 more")]:
        with pytest.raises(UserError, match=names) as caught:
            Marks.of(plain, objective.needs)
        assert "reserve = " in str(caught.value)
    assert Marks.of(byte_tokenizer()).end == byte_tokenizer().eos_id
    roberta = train_byte_bpe(["words"], 300, special_tokens=("<s>", "</s>", "<mask>", END_OF_TEXT))
    assert Marks.of(roberta, ("mask",))["[MASK]"] == 2


def test_reserved_tokens_are_no_part_of_a_text(tokenizer, marks):
    assert set(marks.reserved) == {name for names in RESERVED.values() for name in names}
    assert not set(marks.reserved.values()) & set(marks.ordinary.tolist())
    assert len(marks.sentinels) == 100
    assert not set(tokenizer.encode_ordinary("[MASK] <extra_id_0>")) & set(marks.reserved.values())


def test_the_table_of_a_recipe():
    assert make_objective({"kind": "masked", "rate": 0.2, "whole_words": True}) == MaskedLM(rate=0.2, whole_words=True)
    made = make_objective({"kind": "denoising", "noises": ["document-rotation"]})
    assert made == Denoising(noises=("document-rotation",))
    assert make_objective({"kind": "masked", "pairs": "sentence-order"}).classes == 2
    for table, words in [
        ({"kind": "maskd"}, "Did you mean 'masked'"),
        ({}, "objective"),
        ({"kind": "masked", "rat": 0.2}, "Did you mean 'rate'"),
        ({"kind": "masked", "rate": "high"}, "wrong type"),
        ({"kind": "masked", "dynamic": 1}, "wrong type"),
        ({"kind": "masked", "rate": True}, "wrong type"),
        ({"kind": "denoising", "noises": "document-rotation"}, "wrong type"),
    ]:
        with pytest.raises(UserError, match=words):
            make_objective(table)


def test_an_objective_that_does_not_fit_the_model_is_refused(shards, marks):
    with pytest.raises(UserError, match=r"cannot train this model.*bidirectional.*causal"):
        batches(shards, MaskedLM(), marks, "causal")
    with pytest.raises(UserError, match="too short"):
        batches(shards, SpanCorruption(), marks, "encoder-decoder", context=4)


SIZES = {
    "hidden_size": 32,
    "layers": 1,
    "context": 32,
    "attention": Attention(heads=2),
    "feed_forward": FeedForward(size=64),
}


def model_for(form, vocabulary_size, classes):
    sizes = {**SIZES, "vocabulary_size": vocabulary_size}
    if form == "encoder-decoder":
        config = EncoderDecoderConfig(
            encoder=TransformerConfig(**sizes, mask="bidirectional", head=None),
            decoder=TransformerConfig(**sizes, cross_attention=True),
        )
        model = EncoderDecoder(config)
    else:
        task = Task(kind="sequence", classes=classes) if classes else None
        config = TransformerConfig(**sizes, mask=form, pooler=bool(classes), task=task)
        model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    assert form_of(config) == form
    return model


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_trains_every_form_it_names(shards, marks, kind):
    objective = make_objective({"kind": kind})
    for form in objective.forms:
        source = batches(shards, objective, marks, form, batch_size=8)
        model = model_for(form, marks.size, 0)
        steps = list(train(model, LanguageModelling(), source, adamw(model, 0.01), steps=12, schedule=constant(0.01)))
        assert steps[-1].losses["loss"] < steps[0].losses["loss"]


def test_pairs_train_tokens_and_classes_together(shards, marks):
    objective = MaskedLM(pairs="next-sentence")
    model = model_for("bidirectional", marks.size, 2)
    source = batches(shards, objective, marks, batch_size=8)
    weights = {"cross_entropy": 1.0, "classes": 1.0}
    loss = LanguageModelling(weights=weights)
    (step,) = train(model, loss, source, adamw(model, 0.01), steps=1, schedule=constant(0.01))
    assert step.losses["loss"] == pytest.approx(step.losses["cross_entropy"] + step.losses["classes"])
    assert step.losses["classes"] == pytest.approx(0.693, abs=0.1)
