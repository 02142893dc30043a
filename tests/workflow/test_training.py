"""The resumable fit: budgets, curves, and a resumed training that ends in the same bits."""

import json
import os
import re
import signal
from dataclasses import replace

import pytest
import torch

from fourfold.models import build_model
from fourfold.training import FLOAT32, Diverged, FixedBatches, LabelledBatch, causal_language_modelling
from fourfold.workflow.context import StageContext
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger
from fourfold.workflow.store import ModelStore
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Fit,
    OptimizerOptions,
    SpikeOptions,
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


def make_fit(batches=None, **update):
    torch.manual_seed(0)
    model = build_model({"family": "lstm", "layers": 1, "hidden_size": 16, "dropout": 0.1}, 32, seed=1)
    rows = [torch.randint(0, 32, (2, 9), generator=torch.Generator().manual_seed(step)) for step in range(5)]
    options = OptimizerOptions(lr=1e-2, **update)
    return Fit(
        model=model,
        objective=causal_language_modelling(),
        batches=batches or FixedBatches([[LabelledBatch(ids=ids[:, :-1], labels=ids[:, 1:])] for ids in rows]),
        optimizer=options.make(model),
        update=options,
        precision=FLOAT32,
        steps=STEPS,
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


def test_the_first_process_says_how_many_steps_a_budget_is(tmp_path):
    """Another clock finds another number; it neither counts nor is written down."""

    class Second:
        rank, size = 1, 2

        def __init__(self, *said):
            self.said = list(said)

        def told(self, number):
            return self.said.pop(0)

    assert decide_steps(tmp_path, Budget(seconds=3), 10, lambda seconds: 17, Second(0, 19)) == 19
    assert decide_steps(tmp_path, Budget(seconds=3), 10, lambda seconds: 17, Second(23)) == 23
    assert not list(tmp_path.iterdir())


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


class SpikyBatches:
    """Rows of a pattern that is soon learnt; some steps of the data hold what was never seen."""

    def __init__(self, *spikes):
        self.spikes = spikes

    def at(self, step):
        row = torch.arange(9) if step not in self.spikes else torch.arange(31, 22, -1)
        ids = row[None].repeat(2, 1)
        return [LabelledBatch(ids=ids[:, :-1], labels=ids[:, 1:])]


def long(fit, steps=48):
    return replace(fit, steps=steps, one_batch=True)


def spiky(policy, **more):
    options = SpikeOptions(policy=policy, window=16, **more)
    return long(make_fit(SpikyBatches(30, 40), spikes=options, schedule="constant"))


@pytest.mark.parametrize("policy", ["skip", "rewind", "lower-rate"])
@pytest.mark.parametrize("crash_at", [26, 36, 46])
def test_a_training_with_spikes_ends_in_the_same_bits_when_resumed(tmp_path, policy, crash_at):
    checkpoint = CheckpointOptions(steps=8, seconds=1000)
    measured = frozenset(range(1, 49))
    whole, cut, resumed = spiky(policy), spiky(policy), spiky(policy)
    run_fit(context_in(tmp_path / "whole"), whole, checkpoint, measure_until(0, whole), measured)
    with pytest.raises(Crash):
        run_fit(context_in(tmp_path / "cut"), cut, checkpoint, measure_until(crash_at, cut), measured)
    run_fit(context_in(tmp_path / "cut"), resumed, checkpoint, measure_until(0, resumed), measured)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name])
    times = ("seconds", "tokens_per_second")
    for name in ("metrics.jsonl", "curve.jsonl"):
        assert rows_of(tmp_path / "cut", name, *times) == rows_of(tmp_path / "whole", name, *times)


def test_what_each_policy_does_about_a_spike(tmp_path, remarks):
    rows, fits = {}, {}
    for policy in ("skip", "rewind", "lower-rate"):
        fits[policy] = spiky(policy)
        run_fit(context_in(tmp_path / policy), fits[policy], CheckpointOptions(steps=8, seconds=1000))
        rows[policy] = rows_of(tmp_path / policy, "metrics.jsonl")
    left_out = {policy: [row["step"] for row in kept if row.get("applied") is False] for policy, kept in rows.items()}
    assert left_out == {"skip": [31, 41], "rewind": [], "lower-rate": [31, 41]}
    answers = json.loads((tmp_path / "rewind" / "answers.json").read_text())
    assert answers == [{"step": 24, "data": 7, "rate": 1.0}, {"step": 32, "data": 2, "rate": 1.0}]
    rates = [row["lr"] for row in rows["lower-rate"]]
    assert (rates[29], rates[31], rates[41]) == (1e-2, 5e-3, 2.5e-3)
    assert len(rows["rewind"]) == 48
    assert sum("is a spike" in remark for remark in remarks) == 6


def test_a_rate_that_makes_the_loss_worse_is_said_once(tmp_path, remarks):
    def fit(rate):
        options = OptimizerOptions(kind="lion", lr=rate, weight_decay=0, warmup=0.5, clip=1e9)
        made = long(make_fit(), steps=80)
        return replace(made, optimizer=options.make(made.model), update=options)

    run_fit(context_in(tmp_path / "calm"), fit(1e-3), CheckpointOptions())
    assert not remarks
    checkpoint = CheckpointOptions(steps=1)
    run_fit(context_in(tmp_path / "wild"), replace(fit(1.0), steps=70), checkpoint)
    run_fit(context_in(tmp_path / "wild"), fit(1.0), checkpoint)  # goes on, and knows what was said
    (said,) = [remark for remark in remarks if "learning rate" in remark]
    assert re.fullmatch(
        r"pretrain.tiny: the loss, \S+ at step \d+, is above where it began; the learning rate of .*", said
    )


def test_a_training_that_only_spikes_is_given_up(tmp_path):
    fit = long(make_fit(SpikyBatches(*range(30, 48)), spikes=SpikeOptions(window=16, most=3), schedule="constant"))
    with pytest.raises(Diverged, match="the loss has spiked 4 times"):
        run_fit(context_in(tmp_path / "stage"), fit, CheckpointOptions(steps=8, seconds=1000))


@pytest.mark.parametrize("crash_at", [3, 10])
def test_an_average_is_resumed_and_is_what_the_model_ends_with(tmp_path, crash_at):
    checkpoint, measured = CheckpointOptions(steps=4, seconds=1000), frozenset(range(1, STEPS + 1))
    whole, cut, resumed = (make_fit(average=0.9) for _ in range(3))
    plain = make_fit()
    run_fit(context_in(tmp_path / "whole"), whole, checkpoint, measure_until(0, whole), measured)
    with pytest.raises(Crash):
        run_fit(context_in(tmp_path / "cut"), cut, checkpoint, measure_until(crash_at, cut), measured)
    run_fit(context_in(tmp_path / "cut"), resumed, checkpoint, measure_until(0, resumed), measured)
    run_fit(context_in(tmp_path / "plain"), plain, checkpoint)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name])
        assert not torch.equal(value, weights(plain)[name])


def test_the_best_weights_are_kept(tmp_path):
    fit = make_fit()
    values = iter([3.0, 1.0, 2.0])
    seen = {}

    def measure():
        value = next(values)
        seen[value] = weights(fit)
        return {"bits_per_byte": {"prose": value}}

    run_fit(context_in(tmp_path / "stage"), fit, CheckpointOptions(best=True), measure, frozenset({4, 8, 12}))
    for name, value in weights(fit).items():
        assert torch.equal(value, seen[1.0][name])


def test_older_checkpoints_are_kept_as_asked(tmp_path):
    run_fit(context_in(tmp_path / "stage"), make_fit(), CheckpointOptions(steps=2, seconds=1000, keep=3))
    assert len(list((tmp_path / "stage" / "checkpoints").glob("step-*"))) == 3
