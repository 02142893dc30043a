import math
from typing import ClassVar

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.training import (
    IGNORED,
    FixedBatches,
    Guard,
    LabelledBatch,
    Precision,
    adamw,
    causal_language_modelling,
    constant,
    train,
)


def run(model, steps, *, optimizer=None, start=0, count=3, rate=0.01, **options):
    optimizer = optimizer or adamw(model, rate)
    return list(
        train(
            model,
            causal_language_modelling(rows=5),
            FixedBatches(steps),
            optimizer,
            steps=count,
            start=start,
            schedule=constant(rate),
            **options,
        )
    )


def test_overfits_one_batch(tiny, random_batch):
    done = run(tiny(), [[random_batch()]], count=60, rate=0.05)
    assert done[0].losses["loss"] > 3
    assert done[-1].losses["loss"] < 0.5
    assert [step.index for step in done] == list(range(60))
    assert done[0].tokens == 48


def test_unequal_micro_batches_accumulate_to_the_big_batch(tiny, random_batch):
    big = random_batch(rows=6)
    parts = [LabelledBatch(big.ids[a:b], big.labels[a:b]) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert len({int((part.labels != IGNORED).sum()) for part in parts}) == 3
    one, other = tiny(), tiny()
    whole = run(one, [[big]], guard=Guard(clip=None))
    split = run(other, [parts], guard=Guard(clip=None))
    for left, right in zip(whole, split, strict=True):
        assert left.losses["loss"] == pytest.approx(right.losses["loss"], rel=1e-6)
        assert left.gradient_norm == pytest.approx(right.gradient_norm, rel=1e-5)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_packed_row_equals_separate_rows(tiny, random_batch):
    first, second = random_batch(rows=1, length=9, seed=1), random_batch(rows=1, length=5, seed=2)
    packed = LabelledBatch(
        torch.cat([first.ids, second.ids], 1),
        torch.cat([first.labels, second.labels], 1),
        documents=torch.tensor([[0] * 9 + [1] * 5]),
    )
    one, other = tiny(), tiny()
    together, apart = run(one, [[packed]], count=1), run(other, [[first, second]], count=1)
    assert together[0].losses["loss"] == pytest.approx(apart[0].losses["loss"], rel=1e-6)
    assert together[0].gradient_norm == pytest.approx(apart[0].gradient_norm, rel=1e-5)


def test_the_rate_is_the_schedules_and_the_norm_is_clipped(tiny, random_batch):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=99.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    (step,) = run(model, [[random_batch()]], optimizer=optimizer, count=1, rate=0.5, guard=Guard(clip=0.1))
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(before, model.parameters(), strict=True)])
    assert step.learning_rate == 0.5
    assert step.gradient_norm > 0.1
    assert float(moved.norm()) == pytest.approx(0.5 * 0.1, rel=1e-3)


def test_dropout_is_the_same_at_the_same_step(tiny, random_batch):
    one, other = tiny(dropout=0.3), tiny(dropout=0.3)
    first = run(one, [[random_batch()]])
    torch.rand(7)
    second = run(other, [[random_batch()]])
    assert [step.losses for step in first] == [step.losses for step in second]
    different = run(tiny(dropout=0.3), [[random_batch()]], seed=1)
    assert different[0].losses != first[0].losses


def test_all_masked_labels_are_named(tiny, random_batch):
    batch = random_batch()
    masked = LabelledBatch(batch.ids, torch.full_like(batch.labels, IGNORED))
    with pytest.raises(UserError, match=r"step 1.*every label.*masked"):
        run(tiny(), [[batch], [masked]])


def test_one_masked_micro_batch_among_others_is_fine(tiny, random_batch):
    batch = random_batch()
    masked = LabelledBatch(batch.ids, torch.full_like(batch.labels, IGNORED))
    one, other = tiny(), tiny()
    assert run(one, [[batch, masked]])[2].losses == run(other, [[batch]])[2].losses


def test_bad_weight_is_named_and_nothing_is_updated(tiny, random_batch):
    model = tiny()
    with torch.no_grad():
        model.value.weight[0, 0] = math.nan
    before = model.query.weight.detach().clone()
    with pytest.raises(UserError, match=r"step 0: the loss is nan.*value\.weight"):
        run(model, [[random_batch()]])
    assert torch.equal(before, model.query.weight)


def test_bad_output_names_the_module(tiny, random_batch):
    model = tiny()
    with torch.no_grad():
        model.value.weight.fill_(3e38)
    with pytest.raises(UserError, match=r"the loss is nan; the first bad number is in the output of value"):
        run(model, [[random_batch()]])


def test_bad_gradient_is_caught_before_the_update(tiny, random_batch):
    model = tiny()
    model.query.weight.register_hook(lambda gradient: gradient * math.inf)
    before = model.value.weight.detach().clone()
    with pytest.raises(UserError, match=r"gradient norm.*query\.weight"):
        run(model, [[random_batch()]])
    assert torch.equal(before, model.value.weight)


def test_bf16_autocast_trains_after_a_pass_without_gradients(tiny, random_batch):
    """A cast of a weight cached under no_grad would lose its gradient."""
    precision = Precision(name="bf16", reason="test", autocast=torch.bfloat16)
    model, batch = tiny(), random_batch()

    class WithReference:
        weights: ClassVar = {"cross_entropy": 1.0}
        counts = staticmethod(causal_language_modelling().counts)

        def __call__(self, module, batch):
            with torch.no_grad():
                module.hidden(Step(ids=batch.ids))
            return causal_language_modelling()(module, batch)

    before = model.query.weight.detach().clone()
    steps = train(
        model,
        WithReference(),
        FixedBatches([[batch]]),
        adamw(model, 0.05),
        steps=40,
        schedule=constant(0.05),
        precision=precision,
    )
    losses = [step.losses["loss"] for step in steps]
    assert losses[-1] < losses[0] / 2
    assert not torch.equal(before, model.query.weight)


def test_the_callers_determinism_setting_comes_back(tiny, random_batch):
    assert not torch.are_deterministic_algorithms_enabled()
    for _ in train(
        tiny_model := tiny(),
        causal_language_modelling(),
        FixedBatches([[random_batch()]]),
        adamw(tiny_model, 0.1),
        steps=1,
        schedule=constant(0.1),
    ):
        assert not torch.are_deterministic_algorithms_enabled()
