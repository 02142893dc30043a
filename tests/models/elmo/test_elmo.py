"""ELMo against torch's bidirectional LSTM, row by row, spelt and through the one loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fourfold.errors import UserError
from fourfold.models import Encoder
from fourfold.models.elmo import Characters, ElmoConfig, ElmoLM, ScalarMix, load_elmo, save_elmo, spell
from fourfold.training import IGNORED, BothDirections, FixedBatches, LabelledBatch, adamw, constant, train

V, D = 50, 12
LETTERS = Characters(width=6, size=5, filters=((1, 4), (3, 6)))


def make(**options: object) -> ElmoLM:
    model = ElmoLM(ElmoConfig(vocabulary_size=V, hidden_size=D, **options))
    model.initialise(torch.Generator().manual_seed(1))
    return model.eval()


def ids(rows: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(2))


def test_one_layer_is_torchs_bidirectional_lstm() -> None:
    model = make(layers=1)
    assert isinstance(model, Encoder)
    oracle = nn.LSTM(D, D, batch_first=True, bidirectional=True)
    weights = {**model.forward_layers[0].state_dict()}
    weights |= {f"{name}_reverse": tensor for name, tensor in model.backward_layers[0].state_dict().items()}
    oracle.load_state_dict(weights)
    table = model.embedding.weight
    zero, one = model.encode(ids(), torch.ones(3, 9))
    torch.testing.assert_close(one, oracle(F.embedding(ids(), table))[0])
    torch.testing.assert_close(zero, F.embedding(ids(), table).repeat(1, 1, 2))


@pytest.mark.parametrize("characters", [None, LETTERS])
def test_ragged_rows_are_rows_alone(characters: Characters | None) -> None:
    model = make(layers=3, characters=characters)
    if characters is not None:
        model.spell(spell([f"w{number}".encode() for number in range(V)], 6))
    lengths = [9, 4, 1]
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    states = model.encode(ids(), mask)
    assert len(states) == 4
    for row, length in enumerate(lengths):
        alone = model.encode(ids()[row : row + 1, :length], torch.ones(1, length))
        for state, expected in zip(states, alone, strict=True):
            torch.testing.assert_close(state[row, :length], expected[0], rtol=1e-5, atol=1e-6)


def test_each_direction_sees_only_its_side() -> None:
    model, changed = make(), ids()
    changed[:, 4] = (changed[:, 4] + 1) % V
    before, after = model.directions(ids()), model.directions(changed)
    assert torch.equal(before.forward[:, :4], after.forward[:, :4])
    assert torch.equal(before.backward[:, 5:], after.backward[:, 5:])
    assert not torch.equal(before.forward[:, 5], after.forward[:, 5])
    assert not torch.equal(before.backward[:, 3], after.backward[:, 3])


def test_the_loss_is_both_cross_entropies_and_falls() -> None:
    model, lengths = make(), torch.tensor([9, 4, 6])
    labels = ids().roll(-1, 1)
    labels[torch.arange(9) >= lengths[:, None] - 1] = IGNORED
    batch = LabelledBatch(ids(), labels, lengths)
    objective = BothDirections()
    assert objective.counts(batch) == {"forward": 16.0, "backward": 16.0}
    sums = objective(model, batch)
    with torch.no_grad():
        states = model.directions(ids(), lengths)
    backward = sum(
        float(-model.logits(states.backward[row, t]).detach().log_softmax(-1)[ids()[row, t - 1]])
        for row, length in enumerate(lengths.tolist())
        for t in range(1, length)
    )
    assert float(sums["backward"].detach()) == pytest.approx(backward, rel=1e-5)
    forward = F.cross_entropy(model.logits(states.forward).flatten(0, 1), labels.flatten(), reduction="sum")
    torch.testing.assert_close(sums["forward"], forward)
    losses = [
        step.losses["loss"]
        for step in train(
            model, objective, FixedBatches([[batch]]), adamw(model, 1e-2), steps=30, schedule=constant(1e-2)
        )
    ]
    assert losses[-1] < 0.7 * losses[0]


def test_spelling_is_all_a_model_of_characters_sees() -> None:
    model = make(characters=LETTERS)
    names = [b"same", b"same", b"other", b"longer than six", b"longe and cut"] + [b"x"] * (V - 5)
    model.spell(spell(names, 6))
    vectors = model.embedding(torch.arange(5))
    torch.testing.assert_close(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])
    torch.testing.assert_close(vectors[3], vectors[4])  # both are read as <long>


def test_a_folder_gives_back_the_same_model(tmp_path: Path) -> None:
    for options in ({}, {"characters": LETTERS}):
        model = make(**options)
        save_elmo(model, tmp_path / "elmo")
        back = load_elmo(tmp_path / "elmo")
        assert back.config == model.config
        assert torch.equal(back.encode(ids(), torch.ones(3, 9))[-1], model.encode(ids(), torch.ones(3, 9))[-1])
    (tmp_path / "elmo" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="do not fit the configuration"):
        load_elmo(tmp_path / "elmo")
    (tmp_path / "elmo" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not an ELMo folder"):
        load_elmo(tmp_path / "elmo")


def test_the_mix_by_hand() -> None:
    mix = ScalarMix(2)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 3.0]).log1p())
        mix.gamma.fill_(10)
    torch.testing.assert_close(mix((torch.ones(1, 1, 1), torch.full((1, 1, 1), 6.0))), torch.full((1, 1, 1), 50.0))


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"hidden_size": 0}])
def test_sizes_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="out of range"):
        ElmoConfig(**{"vocabulary_size": V, "hidden_size": D, **wrong})
    with pytest.raises(UserError, match="characters is out of range"):
        Characters(width=2)
