"""The loop over the real models: packing, accumulation and resuming do not depend on the family."""

import pytest
import torch

from fourfold.models import build_model
from fourfold.training import (
    FixedBatches,
    Guard,
    LabelledBatch,
    LanguageModelling,
    adafactor,
    adamw,
    causal_language_modelling,
    constant,
    load_latest_checkpoint,
    save_checkpoint,
    train,
)

CONFIGS = [
    {"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "kv_heads": 2, "context": 64},
    {"family": "lstm", "layers": 1, "hidden_size": 32, "context": 64},
]
LLAMA = CONFIGS[0]


def batch(rows, length, seed):
    ids = torch.randint(50, (rows, length + 1), generator=torch.Generator().manual_seed(seed))
    return LabelledBatch(ids[:, :-1], ids[:, 1:])


def run(model, steps, optimizer=None, start=0, stop=3):
    optimizer = optimizer or adamw(model, 0.01)
    return list(
        train(
            model,
            causal_language_modelling(rows=7),
            FixedBatches(steps),
            optimizer,
            steps=stop,
            start=start,
            schedule=constant(0.01),
            guard=Guard(clip=None),
        )
    )


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["family"])
def test_accumulation_equals_the_big_batch(config):
    big = batch(4, 10, 0)
    parts = [LabelledBatch(big.ids[:1], big.labels[:1]), LabelledBatch(big.ids[1:], big.labels[1:])]
    one, other = build_model(config, 50), build_model(config, 50)
    # Plain descent, since Adam divides by what may be nothing but rounding.
    descents = [torch.optim.SGD(model.parameters(), 1.0) for model in (one, other)]
    whole, split = run(one, [[big]], descents[0]), run(other, [parts], descents[1])
    assert whole[-1].losses["loss"] == pytest.approx(split[-1].losses["loss"], rel=1e-5)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [adamw, adafactor])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["family"])
def test_resuming_is_bit_exact(config, make, tmp_path):
    steps = [[batch(2, 10, seed), batch(1, 6, seed + 10)] for seed in range(4)]
    whole = build_model(config, 50)
    expected = run(whole, steps, make(whole, 0.01), stop=4)
    first = build_model(config, 50)
    first_optimizer = make(first, 0.01)
    run(first, steps, first_optimizer, stop=2)
    save_checkpoint(tmp_path, first, first_optimizer, 2)
    second = build_model(config, 50, seed=1)
    second_optimizer = make(second, 0.01)
    assert load_latest_checkpoint(tmp_path, second, second_optimizer) == (2, {}, {})
    resumed = run(second, steps, second_optimizer, start=2, stop=4)
    assert [step.losses for step in resumed] == [step.losses for step in expected[2:]]
    for left, right in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_packed_row_equals_separate_rows_and_padding_changes_nothing():
    first, second = batch(1, 9, 1), batch(1, 5, 2)
    packed = LabelledBatch(
        torch.cat([first.ids, second.ids], 1),
        torch.cat([first.labels, second.labels], 1),
        documents=torch.tensor([[0] * 9 + [1] * 5]),
    )
    ids, labels = torch.zeros(2, 9, dtype=torch.long), torch.full((2, 9), -100)
    for row, part in enumerate((first, second)):
        ids[row, : part.tokens], labels[row, : part.tokens] = part.ids[0], part.labels[0]
    padded = LabelledBatch(ids, labels, lengths=torch.tensor([9, 5]))
    runs = [run(build_model(LLAMA, 50), [micro]) for micro in ([packed], [first, second], [padded])]
    for other in runs[1:]:
        for left, right in zip(runs[0], other, strict=True):
            assert left.losses["loss"] == pytest.approx(right.losses["loss"], rel=1e-5)
            assert left.gradient_norm == pytest.approx(right.gradient_norm, rel=1e-4)
            assert left.tokens == right.tokens == 14


def test_t5_soon_knows_twenty_rows_by_heart():
    """Twenty rows to be written backwards. From weights that start as GPT-2's, under the same steps, the unscaled
    scores keep the loss above 1 for twice as long."""
    draw = torch.Generator().manual_seed(0)
    source = torch.randint(3, 60, (20, 12), generator=draw)
    target = source.flip(1)
    ids = torch.cat([torch.zeros(20, 1, dtype=torch.long), target[:, :-1]], dim=1)
    rows = FixedBatches([[LabelledBatch(ids=ids, labels=target, source=source)]])
    sizes = {"family": "t5", "layers": 2, "hidden_size": 64, "heads": 1, "context": 16}
    losses = {}
    for name, start in (("own", {}), ("gpt2", {"initialisation": "gpt2"})):
        model = build_model({**sizes, **start}, 60, seed=1)
        objective, optimizer = LanguageModelling(weights={"cross_entropy": 1.0}), adafactor(model, 2e-2)
        steps = train(model, objective, rows, optimizer, steps=50, schedule=constant(2e-2, warmup=10))
        losses[name] = [step.losses["loss"] for step in steps][-1]
    assert losses["own"] < 0.4
    assert losses["gpt2"] > 1.0
