"""The resumable fit: budgets, curves, and a resumed training that ends in the same bits."""

import json
import os
import signal

import pytest
import torch

from fourfold.models import build_model
from fourfold.training import FLOAT32, FixedBatches, LabelledBatch, causal_language_modelling
from fourfold.workflow.context import StageContext
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger
from fourfold.workflow.store import ModelStore
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Fit,
    OptimizerOptions,
    curve_steps,
    cut_back,
    decide_steps,
    run_fit,
)

STEPS = 12


def context_in(folder):
    return StageContext(
        name="pretrain.tiny",
        folder=folder,
        run_folder=folder.parent,
        seed=7,
        stages={},
        models=ModelStore({}),
        interrupts=Interrupts(),
        ledger=Ledger(folder, "key"),
    )


def make_fit():
    torch.manual_seed(0)
    model = build_model({"family": "lstm", "layers": 1, "hidden_size": 16, "dropout": 0.1}, 32, seed=1)
    rows = [torch.randint(0, 32, (2, 9), generator=torch.Generator().manual_seed(step)) for step in range(5)]
    options = OptimizerOptions(lr=1e-2)
    return Fit(
        model=model,
        objective=causal_language_modelling(),
        batches=FixedBatches([[LabelledBatch(ids=ids[:, :-1], labels=ids[:, 1:])] for ids in rows]),
        optimizer=options.make(model),
        precision=FLOAT32,
        steps=STEPS,
        schedule=options.make_schedule(STEPS),
        clip=1.0,
        label="tiny",
    )


def rows_of(folder, name, *drop):
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in drop} for row in rows]


def weights(fit):
    return {name: value.clone() for name, value in fit.model.state_dict().items()}


class Crash(Exception):
    pass


def measure_until(crash_at, fit):
    calls = iter(range(1, 100))

    def measure():
        if next(calls) == crash_at:
            raise Crash
        return {"bits_per_byte": {"prose": float(next(fit.model.parameters()).detach().sum())}}

    return measure


@pytest.mark.parametrize("every", [1, 4, 100])
@pytest.mark.parametrize("crash_at", [1, 6, 12])
def test_a_resumed_fit_ends_in_the_same_bits(tmp_path, every, crash_at):
    checkpoint = CheckpointOptions(steps=every, seconds=1000)
    whole = make_fit()
    measured = frozenset(range(1, STEPS + 1))
    totals = run_fit(context_in(tmp_path / "whole"), whole, checkpoint, measure_until(0, whole), measured)
    cut = make_fit()
    with pytest.raises(Crash):
        run_fit(context_in(tmp_path / "cut"), cut, checkpoint, measure_until(crash_at, cut), measured)
    resumed = make_fit()
    again = run_fit(context_in(tmp_path / "cut"), resumed, checkpoint, measure_until(0, resumed), measured)
    assert (again.steps, again.tokens) == (totals.steps, totals.tokens) == (STEPS, STEPS * 16)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name])
    times = ("seconds", "tokens_per_second")
    for name in ("metrics.jsonl", "curve.jsonl"):
        assert rows_of(tmp_path / "cut", name, *times) == rows_of(tmp_path / "whole", name, *times)
    seconds = [row["seconds"] for row in rows_of(tmp_path / "cut", "metrics.jsonl")]
    assert seconds == sorted(seconds)


def test_ctrl_c_saves_the_very_step_it_stops_after(tmp_path):
    fit, context = make_fit(), context_in(tmp_path / "stage")

    def measure():
        os.kill(os.getpid(), signal.SIGINT)
        return {}

    with context.interrupts.installed(), pytest.raises(KeyboardInterrupt):
        run_fit(context, fit, CheckpointOptions(steps=100, seconds=1000), measure, frozenset({5}))
    assert [path.name for path in (tmp_path / "stage" / "checkpoints").iterdir()] == ["step-00000005"]
    assert len(rows_of(tmp_path / "stage", "metrics.jsonl")) == 5


def test_a_cut_last_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    cut_back(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_budget_is_decided_once(tmp_path):
    probed = []

    def probe(seconds):
        probed.append(seconds)
        return 17

    assert decide_steps(tmp_path, Budget(seconds=3), 10, probe) == 17
    assert decide_steps(tmp_path, Budget(seconds=3), 10, probe) == 17
    assert probed == [3]
    assert json.loads((tmp_path / "budget.json").read_text()) == {"steps": 17, "asked": {"seconds": 3.0}}


def test_tokens_are_rounded_up_to_whole_steps(tmp_path):
    assert decide_steps(tmp_path, Budget(tokens=101), 10, lambda seconds: 0) == 11


@pytest.mark.parametrize("values", [{}, {"steps": 3, "tokens": 4}])
def test_a_budget_is_exactly_one_thing(values):
    with pytest.raises(ValueError, match="exactly one"):
        Budget(**values)


def test_curve_steps_are_spread_on_a_logarithmic_axis():
    steps = sorted(curve_steps(640, 7))
    assert steps == [10, 20, 40, 80, 160, 320, 640]
    assert curve_steps(3, 8) <= {1, 2, 3}
    assert max(curve_steps(1000, 1)) == 1000


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="less than or equal to 1"):
        OptimizerOptions(lr=30)
