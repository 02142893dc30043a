"""What is predicted from what, and the numbers made of it, against slow paths and hand-worked ones."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step, build_model
from fourfold.training import IGNORED, FixedBatches
from fourfold.workflow.claims.arrangements import ArrangedBatches, arranged, middle
from fourfold.workflow.claims.compute import training_flops
from fourfold.workflow.claims.measuring import (
    LEARNT,
    Subject,
    continuation,
    held_out,
    lengths,
    measure,
    nats,
    spikes,
    stability,
)
from fourfold.workflow.claims.spec import TrainingOptions
from fourfold.workflow.claims.stretching import stretched

LLAMA = {"family": "llama", "layers": 2, "hidden_size": 16, "heads": 2, "context": 128}
MODELS = {
    "stream": LLAMA,
    "halves": LLAMA,
    "prefix": {**LLAMA, "mask": "prefix"},
    "encoder-decoder": {**LLAMA, "family": "bart", "norm_place": "pre", "positions": "rotary"},
}


@pytest.fixture
def subject(data, tmp_path):
    def make(arrangement="stream", **more):
        log = tmp_path / "metrics.jsonl"
        steps = [{"gradient_norm": 1.0, "loss": 9.0 if step < 54 else step - 50} for step in range(60)]
        log.write_text("".join(json.dumps(step) + "\n" for step in steps), "utf-8")
        module = build_model(MODELS[arrangement], 300, seed=3)
        training = TrainingOptions(context=16, arrangement=arrangement)
        return Subject(module=module, data=data, training=training, seed=1, tokens=256, log=log, **more)

    return make


@pytest.mark.parametrize("arrangement", MODELS)
def test_every_arrangement_predicts_the_same_second_half(arrangement):
    rows = torch.arange(2 * 17).view(2, 17)
    half = middle(17)
    batch = arranged(rows, arrangement, 99)
    wanted = batch.labels[:, -(17 - half) :]
    assert torch.equal(wanted, rows[:, half:])
    before = batch.labels[:, : -(17 - half)]
    assert (before == IGNORED).all() == (arrangement != "stream")
    if arrangement == "prefix":
        assert batch.prefix is not None
        assert batch.prefix.sum(1).tolist() == [half, half]
    if arrangement == "encoder-decoder":
        assert torch.equal(batch.source, rows[:, :half])
        assert batch.ids[:, 0].tolist() == [99, 99]


@pytest.mark.parametrize("arrangement", MODELS)
def test_no_arrangement_sees_what_it_predicts(arrangement, subject):
    found = subject(arrangement)
    rows = np.random.default_rng(1).integers(0, 300, (3, 17))
    changed = rows.copy()
    changed[:, 12:] = (changed[:, 12:] + 7) % 300
    length = nats(found, found.module, rows, arrangement).shape[1]
    known = length - (17 - 12)  # columns whose target stands before the change
    first, second = (nats(found, found.module, tokens, arrangement)[:, :known] for tokens in (rows, changed))
    np.testing.assert_allclose(first, second, atol=1e-6)
    earlier = rows.copy()
    earlier[:, 1] = (earlier[:, 1] + 7) % 300
    assert (
        np.abs(
            nats(found, found.module, earlier, arrangement)[:, -2:]
            - nats(found, found.module, rows, arrangement)[:, -2:]
        ).max()
        > 1e-7
    )


def test_batches_are_the_windows_arranged():
    windows = FixedBatches([[arranged(torch.arange(34).view(2, 17), "stream", 0)]])
    (batch,) = ArrangedBatches(windows, "encoder-decoder", 5).at(0)
    assert torch.equal(batch.labels, torch.arange(34).view(2, 17)[:, 8:])


def test_nats_are_those_of_a_plain_softmax(subject):
    found = subject()
    rows = found.data.rows(16, 64)
    logits, _ = found.module(torch.from_numpy(rows[:, :-1]))
    expected = -logits.log_softmax(-1).gather(2, torch.from_numpy(rows[:, 1:, None]))[..., 0]
    np.testing.assert_allclose(nats(found, found.module, rows, "stream"), expected.detach().numpy(), rtol=1e-5)
    assert held_out(found).numbers["loss"] == pytest.approx(
        nats(found, found.module, found.data.rows(16, 256), "stream").mean()
    )


def test_held_out_rows_are_whole_windows_of_the_stream(data):
    rows = data.rows(16, 64)
    assert rows.shape == (4, 17)
    assert rows[0].tolist() == data.held_out[:17].tolist()
    assert rows[-1].tolist() == data.held_out[-17:].tolist()
    with pytest.raises(UserError, match="too little held-out text"):
        data.rows(10**6, 64)


def test_token_frequencies_are_those_of_the_training_text(data):
    counts = np.ones(300)
    for document in data.train:
        for token in document:
            counts[token] += 1
    texts = [token for token in data.held_out if token != data.start_id]
    expected = -np.mean([math.log(counts[token] / counts.sum()) for token in texts])
    assert data.token_frequency_loss == pytest.approx(expected)


def test_spikes_are_counted_against_the_median_before():
    norms = np.ones(110)
    norms[[5, 60, 100]] = 10.0  # the first is within the first tenth
    norms[70] = 2.9
    assert spikes(norms) == pytest.approx(100 * 2 / 99)
    assert spikes(np.ones(1)) == 0.0


def test_a_run_that_diverged_or_learnt_nothing_failed(subject):
    found = subject()
    assert stability(found).numbers == {
        "failed": float(held_out(found).numbers["loss"] > found.data.token_frequency_loss - LEARNT),
        "spikes": 0.0,
        "train_loss": 6.5,  # of the last six: 4 to 9
    }
    failed = stability(replace(found, diverged=True)).numbers
    assert (failed["failed"], failed["train_loss"]) == (1.0, found.guessing)


def test_longer_windows_predict_the_same_tokens(subject):
    found = subject()
    measured = lengths(found)
    assert set(measured.numbers) == {"loss_1x", "loss_2x", "loss_4x"}
    windows = found.data.rows(64, 256 // 8 * 64)
    for factor in (1, 4):
        paid = nats(found, found.module, windows[:, -(factor * 16 + 1) :], "stream")
        assert measured.numbers[f"loss_{factor}x"] == pytest.approx(paid[:, -8:].mean())
    curve = measured.curves["loss_by_position"]
    assert len(curve) == 32
    assert (curve[0][0], curve[-1][0]) == (1.0, 63.0)
    assert np.mean([value for _, value in curve]) == pytest.approx(nats(found, found.module, windows, "stream").mean())


def test_stretched_positions_have_the_same_weights_and_other_angles(subject):
    found = subject()
    assert stretched(found.module, None, 4, 16) is found.module
    rows = found.data.rows(64, 128)
    plain = nats(found, found.module, rows, "stream")
    for scaling in ("linear", "ntk", "dynamic-ntk", "yarn"):
        other = stretched(found.module, scaling, 4, 16)
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in found.module.state_dict().items())
        assert np.abs(nats(found, other, rows, "stream") - plain).max() > 1e-6
    linear = stretched(found.module, "linear", 4, 16)
    ids = torch.from_numpy(rows[:1, :8])
    quarter = found.module.hidden(Step(ids=ids, positions=torch.arange(8)[None]))
    assert torch.allclose(linear.hidden(Step(ids=ids, positions=4 * torch.arange(8)[None])), quarter, atol=1e-5)
    at_once = measure("lengths", replace(found, scaling="yarn")).numbers
    assert at_once["loss_1x"] == lengths(found).numbers["loss_1x"]
    with pytest.raises(UserError, match="only rotary positions"):
        stretched(build_model({**LLAMA, "positions": "alibi"}, 300), "yarn", 4, 16)


@pytest.mark.parametrize("arrangement", MODELS)
def test_continuations_are_judged_as_the_model_reads(arrangement, subject):
    found = subject(arrangement)
    numbers = continuation(found).numbers
    rows = found.data.rows(16, 512)
    half = middle(17)
    read = "halves" if arrangement == "stream" else arrangement
    totals = []
    for shift in range(4):
        other = np.roll(rows[:, half:], shift * (len(rows) // 4), axis=0)
        totals.append(nats(found, found.module, np.hstack([rows[:, :half], other]), read).sum(1))
    assert numbers["choice"] == pytest.approx(np.mean(np.argmin(totals, axis=0) == 0))
    assert numbers["second_half"] == pytest.approx(totals[0].sum() / (len(rows) * 9))
    assert 0 < numbers["shown_once"] < 10


def test_flops_are_those_of_the_formula():
    module = build_model(LLAMA, 300)
    rows = torch.randint(0, 300, (2, 17))
    matrices = sum(value.numel() for name, value in module.named_parameters() if value.dim() == 2)
    # Six a weight and token, the tied embedding once as the head; attention: 12 T^2 D a row and layer.
    expected = 6 * matrices * 32 + 2 * 2 * 12 * 16**2 * 16
    assert training_flops(module, arranged(rows, "stream", 0)) == pytest.approx(expected)
    assert all(parameter.grad is None for parameter in module.parameters())
