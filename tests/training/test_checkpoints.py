import json
import resource

import pytest
import torch
from safetensors.torch import load_file

from fourfold.errors import UserError
from fourfold.progress import use_sink
from fourfold.training import (
    OPTIMIZERS,
    FixedBatches,
    adamw,
    causal_language_modelling,
    cosine,
    load_latest_checkpoint,
    make_optimizer,
    save_checkpoint,
    train,
)


class Remarks:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def source(random_batch):
    return FixedBatches([[random_batch(seed=2 * step), random_batch(seed=2 * step + 1, rows=2)] for step in range(8)])


def run(model, optimizer, source, start, stop):
    return list(
        train(
            model,
            causal_language_modelling(),
            source,
            optimizer,
            steps=stop,
            start=start,
            schedule=cosine(0.02, 8, warmup=2),
            seed=3,
        )
    )


def bits(model, optimizer):
    state = [optimizer.state[parameter] for parameter in model.parameters()]
    return [*model.state_dict().values(), *(torch.as_tensor(kept[key]) for kept in state for key in sorted(kept))]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_resume_is_bit_exact(tmp_path, tiny, source, kind):
    whole = tiny(dropout=0.2)
    whole_optimizer = make_optimizer(kind, whole, 0.02)
    expected = run(whole, whole_optimizer, source, 0, 8)

    first = tiny(dropout=0.2)
    first_optimizer = make_optimizer(kind, first, 0.02)
    run(first, first_optimizer, source, 0, 3)
    save_checkpoint(tmp_path, first, first_optimizer, 3, {"tokens": 12})

    second = tiny(seed=9, dropout=0.2)
    second_optimizer = make_optimizer(kind, second, 0.02)
    assert load_latest_checkpoint(tmp_path, second, second_optimizer) == (3, {"tokens": 12}, {})
    resumed = run(second, second_optimizer, source, 3, 8)
    assert [step.losses for step in resumed] == [step.losses for step in expected[3:]]
    for left, right in zip(bits(whole, whole_optimizer), bits(second, second_optimizer), strict=True):
        assert torch.equal(left, right)


def test_moments_in_bytes_come_back_as_bytes(tmp_path):
    """The weights above are too few to be packed."""
    layers, optimizers = [], []
    for _ in range(2):
        layers.append(torch.nn.Linear(96, 96))
        layers[-1].load_state_dict(layers[0].state_dict())
        optimizers.append(make_optimizer("adamw-8bit", layers[-1], 0.02))

    def step(layer, optimizer):
        layer.weight.grad, layer.bias.grad = torch.linspace(-1, 1, 96 * 96).view(96, 96), torch.ones(96)
        optimizer.step()

    step(layers[0], optimizers[0])
    save_checkpoint(tmp_path, layers[0], optimizers[0], 1, {})
    load_latest_checkpoint(tmp_path, layers[1], optimizers[1])
    for layer, optimizer in zip(layers, optimizers, strict=True):
        step(layer, optimizer)
        assert optimizer.state[layer.weight]["first_codes"].dtype == torch.uint8
    for left, right in zip(*map(bits, layers, optimizers), strict=True):
        assert torch.equal(left, right)


def test_keeps_the_last_two_and_holds_no_pickle(tmp_path, tiny, source):
    model = tiny()
    optimizer = adamw(model, 0.02)
    run(model, optimizer, source, 0, 1)
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, model, optimizer, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    assert {path.name for path in (tmp_path / "step-00000003").iterdir()} == {"checkpoint.json", "state.safetensors"}


def test_frozen_parameters_are_not_stored(tmp_path, tiny, source):
    model = tiny()
    model.embedding.requires_grad_(False)
    optimizer = adamw(model, 0.02)
    run(model, optimizer, source, 0, 1)
    tensors = load_file(save_checkpoint(tmp_path, model, optimizer, 1) / "state.safetensors")
    assert "model/query.weight" in tensors
    assert not any("embedding" in name for name in tensors)


@pytest.mark.parametrize("damage", ["truncate", "flip", "no record", "bad record", "digit", "cut record"])
def test_a_damaged_checkpoint_is_said_and_skipped(tmp_path, tiny, source, damage):
    model = tiny()
    optimizer = adamw(model, 0.02)
    run(model, optimizer, source, 0, 1)
    save_checkpoint(tmp_path, model, optimizer, 1)
    path = save_checkpoint(tmp_path, model, optimizer, 2)
    weights = path / "state.safetensors"
    content = weights.read_bytes()
    if damage == "truncate":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no record":
        (path / "checkpoint.json").unlink()
    elif damage == "digit":
        text = (path / "checkpoint.json").read_text()
        (path / "checkpoint.json").write_text(text.replace('"step": 2', '"step": 7'))
    elif damage == "cut record":
        text = (path / "checkpoint.json").read_text()
        (path / "checkpoint.json").write_text(text[: len(text) // 2])
    else:
        (path / "checkpoint.json").write_text(json.dumps({"step": 2}))
    sink = Remarks()
    with use_sink(sink):
        assert load_latest_checkpoint(tmp_path, model, optimizer) == (1, {}, {})
    assert "step-00000002" in sink.said[0]


def test_nothing_to_load(tmp_path, tiny):
    model = tiny()
    assert load_latest_checkpoint(tmp_path / "absent", model, adamw(model, 0.1)) is None


def test_another_models_checkpoint_is_an_error(tmp_path, tiny, source):
    model = tiny()
    save_checkpoint(tmp_path, model, adamw(model, 0.1), 1)
    other = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="another model"):
        load_latest_checkpoint(tmp_path, other, adamw(other, 0.1))


def test_tensors_of_the_caller_come_back(tmp_path, tiny):
    model = tiny()
    optimizer = adamw(model, 0.02)
    save_checkpoint(tmp_path, model, optimizer, 1, tensors={"average/a": torch.ones(3)}, kept=1)
    save_checkpoint(tmp_path, model, optimizer, 2, tensors={"average/a": torch.zeros(3)}, kept=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    found = load_latest_checkpoint(tmp_path, model, optimizer)
    assert (found.step, found.tensors["average/a"].tolist()) == (2, [0, 0, 0])


def test_formats_of_other_versions(tmp_path, tiny):
    model = tiny()
    optimizer = adamw(model, 0.02)
    record = save_checkpoint(tmp_path, model, optimizer, 1) / "checkpoint.json"
    written = {key: value for key, value in json.loads(record.read_text()).items() if key != "seal"}
    record.write_text(json.dumps({key: value for key, value in written.items() if key != "format"}))
    assert load_latest_checkpoint(tmp_path, model, optimizer).step == 1  # from before formats were numbered
    record.write_text(json.dumps(written | {"format": 99}))
    with pytest.raises(UserError, match="written by a newer Fourfold, expected format 2 or less, got 99"):
        load_latest_checkpoint(tmp_path, model, optimizer)


def test_a_checkpoint_too_large_for_the_disk_leaves_the_one_before(tmp_path):
    model = torch.nn.Linear(64, 64)
    optimizer = adamw(model, 1e-3)
    save_checkpoint(tmp_path, model, optimizer, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # what a small disk does, for this process alone
    try:
        with pytest.raises(UserError, match=r"state\.safetensors: the file is larger than the disk"):
            save_checkpoint(tmp_path, model, optimizer, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = load_latest_checkpoint(tmp_path, model, optimizer)
    assert found is not None
    assert found.step == 1
