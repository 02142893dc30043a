import copy

import pytest
import torch

from fourfold.models import make_module, model_config
from fourfold.training import (
    FixedBatches,
    LabelledBatch,
    Precision,
    adamw,
    causal_language_modelling,
    compile_regions,
    compiling,
    constant,
    train,
    trial_step_seconds,
    why_not,
)

BF16 = Precision(name="bf16", reason="asked", autocast=torch.bfloat16)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of PyTorch about itself
OPTIONS = {"family": "llama", "layers": 2, "hidden_size": 32, "heads": 2, "kv_heads": 1, "context": 64}
VOCABULARY = 61


def model():
    made = make_module(model_config(OPTIONS, VOCABULARY))
    made.initialise(torch.Generator().manual_seed(0))
    return made


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(VOCABULARY, (2, 65), generator=generator) for _ in range(count)]
    return FixedBatches([[LabelledBatch(ids[:, :-1], ids[:, 1:])] for ids in rows])


def run(module, objective, optimizer, steps, start=0):
    return list(
        train(
            module, objective, batches(), optimizer,
            steps=steps, start=start, schedule=constant(1e-2), precision=BF16,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def needs_compiler():
    reason = why_not(model())
    if reason is not None:
        pytest.skip(reason)


def gradients(module, objective, precision):
    (batch,) = batches().at(0)
    with precision.context(torch.device("cpu")):
        loss = objective(module, batch)["cross_entropy"]
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in module.parameters()]


@pytest.mark.usefixtures("needs_compiler")
@pytest.mark.parametrize("precision", [Precision(name="fp32", reason="asked"), BF16], ids=["fp32", "bf16"])
def test_compiled_and_plain_gradients_are_equal(precision):
    plain, fast = model(), model()
    expected, wanted = gradients(plain, causal_language_modelling(), precision)
    found, got = gradients(fast, compile_regions(fast, causal_language_modelling()), precision)
    tolerance = 1e-5 if precision.autocast is None else 0.02
    assert float(found) == pytest.approx(float(expected), rel=tolerance / 10)
    for one, other in zip(got, wanted, strict=True):
        assert float((one - other).norm()) <= tolerance * float(other.norm())


@pytest.mark.usefixtures("needs_compiler")
def test_a_resumed_compiled_training_ends_in_the_same_bits():
    whole = model()
    objective = compile_regions(whole, causal_language_modelling())
    optimizer = adamw(whole, 1e-2)
    run(whole, objective, optimizer, steps=2)
    weights, state = copy.deepcopy(whole.state_dict()), copy.deepcopy(optimizer.state_dict())
    rest = run(whole, objective, optimizer, steps=5, start=2)

    torch.compiler.reset()  # as in another process
    resumed = model()
    resumed.load_state_dict(weights)
    objective = compile_regions(resumed, causal_language_modelling())
    optimizer = adamw(resumed, 1e-2)
    optimizer.load_state_dict(state)
    trial_step_seconds(resumed, objective, batches(), precision=BF16)
    again = run(resumed, objective, optimizer, steps=5, start=2)

    assert [step.losses for step in again] == [step.losses for step in rest]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_trial_step_changes_nothing():
    module = model()
    before = copy.deepcopy(module.state_dict())
    module.eval()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert trial_step_seconds(module, causal_language_modelling(), batches()) > 0
    assert torch.equal(torch.rand(3), expected)
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_what_keeps_a_model_from_being_compiled_is_said(monkeypatch, tiny):
    compiling._no_compiler.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert why_not(model()) == "there is no C++ compiler (no-such-compiler)"
    compiling._no_compiler.cache_clear()
    assert why_not(tiny()) == "only transformers are compiled"
