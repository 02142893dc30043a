"""Every plan against one process: losses, gradients, weights, and checkpoints that the next plan reads."""

from __future__ import annotations

import json

import pytest
import torch

from fourfold.training import load_latest_checkpoint
from tests.training.parallel.crew import MODELS, PLANS, STEPS, fit, made

WORLDS = (2, 4)
CASES = [(world, name) for world in WORLDS for name in PLANS[world]]


@pytest.fixture(scope="module")
def outcome(run_all, tmp_path_factory):
    """What each process found, by world; every world is started once."""
    kept = {}

    def of(world):
        if world not in kept:
            folder = tmp_path_factory.mktemp(f"world-{world}")
            ended = run_all(world, "tests/training/parallel/crew.py", world, folder)
            assert [code for code, _ in ended] == [0] * world, "\n".join(text for _, text in ended)
            kept[world] = folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]
        return kept[world]

    return of


@pytest.mark.parametrize(("world", "name"), CASES)
def test_a_plan_trains_as_one_process(outcome, world, name):
    for found in (of_rank[name] for of_rank in outcome(world)[1]):
        assert found["gradients"] <= 1e-6
        assert found["numbers"] <= 1e-5  # losses, gradient norms and counts of three steps
        assert found["weights"] <= 1e-4  # after three steps of AdamW, which enlarges what is near zero


@pytest.mark.parametrize(("world", "name"), CASES)
def test_the_next_plan_reads_what_this_one_wrote(outcome, world, name):
    for found in (of_rank[name] for of_rank in outcome(world)[1]):
        assert found.get("restored", 0.0) == 0.0
        assert found.get("written", 0.0) <= 1e-4
    kinds = [kind for _, kind in PLANS[world].values()]
    assert sum("restored" in found for found in outcome(world)[1][0].values()) == len(kinds) - len(set(kinds))


@pytest.mark.parametrize(("world", "name"), CASES)
def test_what_is_split_is_held_once(outcome, world, name):
    values, _ = PLANS[world][name]
    split = values.get("tensor", 1) * values.get("pipeline", 1)
    if values.get("shard", "none") != "none":
        split *= values.get("data", 1) * values.get("context", 1)
    shares = [of_rank[name]["share"] for of_rank in outcome(world)[1]]
    # Norms are whole beside split matrices, a tied table is in two stages.
    assert 1 / split - 0.01 <= sum(shares) / world <= 1 / split + 0.07


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_one_process_goes_on_from_pieces(outcome, world, kind):
    folder, _ = outcome(world)
    expected, make = made(kind)
    fit(expected, make())
    for name in (name for name, (_, used) in PLANS[world].items() if used == kind):
        model, make = made(kind, seed=9)
        optimizer = make()
        assert load_latest_checkpoint(folder / name, model, optimizer).step == STEPS
        for left, right in zip(model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-4)
        assert {len(state) for state in optimizer.state.values()} == {3}


def test_a_corrupt_shard_is_said_and_the_one_before_is_used(outcome, tmp_path, remarks):
    written = next((outcome(2)[0] / "zero3").glob("step-*"))
    for step in (2, 3):
        copy = tmp_path / f"step-{step:08d}"
        copy.mkdir()
        for file in written.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
    shard = tmp_path / "step-00000003" / "state-00001.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    model, make = made("llama")
    assert load_latest_checkpoint(tmp_path, model, make()) is not None
    assert remarks == [
        "skipped the damaged checkpoint step-00000003: state-00001.safetensors: the bytes do not match their SHA-256."
    ]
    assert MODELS["llama"]["layers"] == sum(name.endswith("norm_attention.weight") for name in model.state_dict())


def test_no_pickle_is_written(outcome):
    names = {path.name for path in outcome(4)[0].rglob("*") if path.is_file() and path.parent.name.startswith("step-")}
    assert {name.rsplit(".", 1)[1] for name in names} == {"json", "safetensors"}
