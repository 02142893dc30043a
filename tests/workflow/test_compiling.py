import pytest

from fourfold import training
from fourfold.files import read_json
from fourfold.models import make_module, model_config
from fourfold.training import FLOAT32, FixedBatches, causal_language_modelling
from fourfold.workflow.training import Budget, compile_if_worth

OBJECTIVE, COMPILED = causal_language_modelling(), causal_language_modelling(rows=7)


@pytest.fixture
def trained(monkeypatch):
    """Asks for a training to be compiled, where steps take a second and compiling is only noted."""
    model = make_module(model_config({"family": "lstm", "layers": 1, "hidden_size": 8, "context": 8}, 11))
    monkeypatch.setattr(training, "trial_step_seconds", lambda *given, **named: 1.0)
    monkeypatch.setattr(training, "compile_regions", lambda model, objective: COMPILED)

    def ask(folder, wanted, budget, obstacle=None):
        monkeypatch.setattr(training, "why_not", lambda model: obstacle)
        return compile_if_worth(folder, wanted, budget, model, OBJECTIVE, FixedBatches([[]]), FLOAT32)

    return ask


@pytest.mark.parametrize(
    ("wanted", "budget", "obstacle", "compiled"),
    [
        ("auto", Budget(steps=299), None, False),
        ("auto", Budget(steps=300), None, True),
        ("auto", Budget(tokens=10**6), None, True),
        ("auto", Budget(seconds=299), None, False),
        ("auto", Budget(seconds=300), None, True),
        ("auto", Budget(seconds=300), "no compiler", False),
        (True, Budget(steps=1), None, True),
        (True, Budget(steps=1), "no compiler", False),
        (False, Budget(steps=10**6), None, False),
    ],
)
def test_compiled_where_asked_or_where_it_pays_and_can_be(trained, tmp_path, wanted, budget, obstacle, compiled):
    objective = trained(tmp_path, wanted, budget, obstacle)
    assert objective is (COMPILED if compiled else OBJECTIVE)
    assert read_json(tmp_path / "compile.json") == {"compiled": compiled, "asked": wanted}


def test_what_was_decided_stays(trained, tmp_path):
    trained(tmp_path, "auto", Budget(steps=300))
    assert trained(tmp_path, "auto", Budget(steps=1)) is COMPILED


def test_what_can_no_longer_be_compiled_is_said(trained, tmp_path, remarks):
    trained(tmp_path, True, Budget(steps=300))
    assert trained(tmp_path, True, Budget(steps=300), "no compiler") is OBJECTIVE
    assert any("no compiler" in remark and "last bits" in remark for remark in remarks)
