"""Spikes seen in losses, steps that are left out, data and rates after an answer."""

import math

import pytest
import torch

from fourfold.training import (
    Answer,
    Answered,
    FixedBatches,
    Guard,
    SpikeWatch,
    adamw,
    causal_language_modelling,
    constant,
    is_spike,
    train,
)

QUIET = [3.0, 3.1, 2.9, 3.05, 2.95] * 4


@pytest.mark.parametrize(
    ("losses", "loss", "spike"),
    [
        (QUIET, 3.2, False),
        (QUIET, 4.0, True),
        (QUIET, 1.0, False),  # falling is no spike
        (QUIET[:10], 40.0, False),  # too little seen
        (QUIET[:10], math.nan, True),
        ([], math.inf, True),
        ([2.0] * 20, 2.01, False),  # no spread: a ripple of 0.5 % is none
        ([2.0] * 20, 2.1, True),
    ],
)
def test_what_a_spike_is(losses, loss, spike):
    assert is_spike(losses, loss, threshold=8.0) == spike


def test_a_watch_remembers_its_window_and_no_spikes():
    watch = SpikeWatch(threshold=8.0, window=20)
    watch.remember([9.0] * 30)
    assert len(watch.losses) == 20
    assert all(watch.admits(loss) for loss in QUIET)
    assert not watch.admits(30.0)
    assert list(watch.losses) == QUIET
    again = SpikeWatch(threshold=8.0, window=20)
    again.remember([9.0] * 30 + QUIET)
    assert again.losses == watch.losses


def test_a_spiking_step_changes_nothing(tiny, random_batch):
    model = tiny()
    watch = SpikeWatch(threshold=8.0, window=64)
    watch.remember([0.01] * 20)  # so the first real loss is a spike
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = adamw(model, 0.1)
    batches = FixedBatches([[random_batch()]])
    (step,) = train(
        model,
        causal_language_modelling(),
        batches,
        optimizer,
        steps=1,
        schedule=constant(0.1),
        guard=Guard(watch=watch),
    )
    assert not step.applied
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_a_loss_that_is_no_number_is_left_out_under_a_watch(tiny, random_batch):
    model = tiny()
    with torch.no_grad():
        model.value.weight[0, 0] = math.nan
    guard = Guard(watch=SpikeWatch(threshold=8.0, window=64))
    (step,) = train(
        model,
        causal_language_modelling(),
        FixedBatches([[random_batch()]]),
        adamw(model, 0.1),
        steps=1,
        schedule=constant(0.1),
        guard=guard,
    )
    assert not step.applied
    assert math.isnan(step.losses["loss"])


class Numbers:
    def at(self, step):
        return [step]


def test_data_and_rate_after_answers():
    answered = Answered((Answer(step=3, data=2), Answer(step=5, rate=0.5), Answer(step=6, data=1, rate=0.5)))
    assert [answered.batches(Numbers()).at(step)[0] for step in range(8)] == [0, 1, 2, 5, 6, 7, 9, 10]
    assert [answered.schedule(constant(1.0))(step) for step in (0, 4, 5, 6)] == [1.0, 1.0, 0.5, 0.25]
