"""Schedules, optimizer groups, precision, probe."""

import time

import pytest
import torch
from torch import nn

from fourfold.errors import UserError
from fourfold.training import (
    FixedBatches,
    adamw,
    causal_language_modelling,
    choose_precision,
    constant,
    cooldown,
    cosine,
    inverse_square_root,
    linear,
    make_schedule,
    steps_for_seconds,
    train,
    wsd,
)


def test_schedules_at_hand_worked_steps():
    assert [constant(1.0, warmup=4)(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [linear(1.0, 5)(step) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert cosine(1.0, 5, final=0.2)(2) == pytest.approx(0.6)
    assert cosine(1.0, 5, final=0.2)(4) == pytest.approx(0.2)
    shape = wsd(1.0, 11, warmup=2, decay=0.5)
    assert shape(0) == 0.5
    assert shape(5) == 1.0
    assert shape(8) == pytest.approx(0.5)
    assert shape(10) == 0.0
    root = inverse_square_root(1.0, warmup=4)
    assert [root(step) for step in (0, 3, 15, 35)] == [0.25, 1.0, 0.5, pytest.approx(1 / 3)]
    assert [cooldown(1.0, 5)(step) for step in (0, 1, 4)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "inverse-square-root", "wsd", "cooldown"])
def test_every_schedule_rises_and_never_again(name):
    rates = [make_schedule(name, 0.5, 40, warmup=8, final=0.1)(step) for step in range(40)]
    assert rates[:8] == sorted(rates[:8])
    assert rates[7:] == sorted(rates[7:], reverse=True)
    assert max(rates) == 0.5


def test_schedule_errors_name_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'cosine'"):
        make_schedule("cosin", 1.0, 10)
    with pytest.raises(UserError, match="warm-up"):
        make_schedule("linear", 1.0, 10, warmup=11)


def test_norms_biases_and_embeddings_do_not_decay(tiny):
    model = tiny()
    optimizer = adamw(model, 0.1, weight_decay=0.3)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    assert {name for name, decay in by_name.items() if decay} == {"query.weight", "value.weight"}
    assert set(by_name.values()) == {0.0, 0.3}


def test_a_frozen_model_cannot_train(tiny):
    with pytest.raises(UserError, match="frozen"):
        adamw(tiny().requires_grad_(False), 0.1)


def test_bf16_weights_are_computed_as_they_are():
    assert choose_precision("cpu", nn.Linear(2, 2).bfloat16()).autocast is None
    chosen = choose_precision("cpu", nn.Linear(2, 2))
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert chosen.autocast is (torch.bfloat16 if has else None)
    assert chosen.reason in str(chosen)


@pytest.mark.parametrize("steps_before", [0, 2])
def test_the_probe_leaves_everything_as_it_was(tiny, random_batch, steps_before):
    model = tiny(dropout=0.1)
    optimizer = adamw(model, 0.02)
    source, objective = FixedBatches([[random_batch()]]), causal_language_modelling()
    for _ in train(model, objective, source, optimizer, steps=steps_before, schedule=constant(0.02)):
        pass
    model.eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = [value.clone() for kept in optimizer.state.values() for value in kept.values()]
    generator = torch.get_rng_state()
    assert steps_for_seconds(model, objective, source, optimizer, 1e-6) == 1
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    after = [value for kept in optimizer.state.values() for value in kept.values()]
    assert len(after) == len(state)
    assert all(torch.equal(left, right) for left, right in zip(state, after, strict=True))
    assert torch.equal(generator, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


def test_the_probe_counts_the_steps_that_fit(tiny, random_batch, monkeypatch):
    batch, clock = random_batch(), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    class Slow:
        def at(self, step):
            clock[0] += 9.0 if step < 2 else 0.2  # the first two are warm-up and must not count
            return [batch]

    model = tiny()
    steps = steps_for_seconds(model, causal_language_modelling(), Slow(), adamw(model, 0.1), 8.0)
    assert steps == 40


def test_the_probe_refuses_no_time(tiny, random_batch):
    model = tiny()
    with pytest.raises(UserError, match="positive"):
        steps_for_seconds(model, causal_language_modelling(), FixedBatches([[random_batch()]]), adamw(model, 0.1), 0)
