"""Trackers: TensorBoard reads our files, services are told, and one that fails does not stop a training."""

import math
import sys
import threading
import time
import types
from importlib.machinery import ModuleSpec

import pytest

from fourfold.errors import UserError
from fourfold.training import TrainingStep
from fourfold.workflow import parse_recipe
from fourfold.workflow.training.trackers import Trackers, require_service
from fourfold.workflow.training.trackers.aside import Aside
from fourfold.workflow.training.trackers.services import open_service
from fourfold.workflow.training.trackers.telling import EACH, drawn
from fourfold.workflow.training.trackers.tensorboard import EventFile, masked_checksum


def test_the_checksum_of_a_known_text():
    # CRC-32C of "123456789" is 0xE3069283; the mask is a rotation by 15 and an addition
    checksum = 0xE3069283
    assert masked_checksum(b"123456789") == ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_tensorboard_reads_the_file(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    file = EventFile(tmp_path)
    for step in (1, 2, 300):
        file.log(step, {"loss": 3.5 / step, "bits_per_byte/prose": float(step)})
    file.finish()
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["bits_per_byte/prose", "loss"]
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        (1, 3.5),
        (2, 1.75),
        (300, pytest.approx(3.5 / 300)),
    ]


class Told:
    def __init__(self, fail=False):
        self.rows, self.fail, self.finished = [], fail, False

    def log(self, step, values):
        if self.fail:
            raise ConnectionError("the server is down\nmore")
        self.rows.append((step, dict(values)))

    def finish(self):
        self.finished = True


def test_numbers_of_a_row_are_told_by_name_and_a_failing_tracker_is_dropped(remarks):
    good, bad = Told(), Told(fail=True)
    trackers = Trackers({"good": good, "bad": bad}, None, None)
    row = {"step": 3, "loss": 2.5, "applied": False, "lr": None, "bits_per_byte": {"prose": 1.5}}
    trackers.log(3, row)
    trackers.log(4, row)
    trackers.finish()
    assert good.rows == [(3, {"loss": 2.5, "bits_per_byte/prose": 1.5}), (4, {"loss": 2.5, "bits_per_byte/prose": 1.5})]
    assert (good.finished, bad.finished) == (True, False)
    assert remarks == ["Tracker 'bad' is told no more from step 3 on, the training goes on: the server is down"]


class Service(Told):
    """Takes all rows that wait at once."""

    def log(self, rows):
        self.calls = [*getattr(self, "calls", []), len(rows)]
        for step, values in rows:
            super().log(step, values)


def opened_at(gate, told):
    """A server that answers once the gate is open."""

    def open_tracker():
        gate.wait()
        return told

    return open_tracker


def test_a_tracker_that_does_not_answer_holds_up_neither_a_step_nor_the_end(remarks):
    gate, told = threading.Event(), Service()
    trackers = Trackers({"slow": Aside(opened_at(gate, told), grace=0.05, most=3)}, None, None)
    began = time.monotonic()
    trackers.log(1, {"loss": 2.0})
    trackers.finish()
    assert time.monotonic() - began < 2
    assert remarks == ["Tracker 'slow' was not told to the end, metrics.jsonl has it all: no answer for 0.05 s"]
    gate.set()


def test_a_tracker_that_answers_late_is_told_everything_and_one_far_behind_is_dropped(remarks):
    gate, told = threading.Event(), Service()
    trackers = Trackers({"late": Aside(opened_at(gate, told), most=3)}, None, None)
    for step in (1, 2, 3):
        trackers.log(step, {"loss": 2.0})
    gate.set()
    trackers.finish()
    assert ([step for step, _ in told.rows], told.finished, remarks) == ([1, 2, 3], True, [])
    assert len(told.calls) < 3  # rows that wait are told together
    behind = Trackers({"behind": Aside(opened_at(threading.Event(), told), most=3)}, None, None)
    for step in (1, 2, 3, 4, 5):
        behind.log(step, {"loss": 2.0})
    assert remarks == ["Tracker 'behind' is told no more from step 4 on, the training goes on: it is 3 rows behind"]


def test_what_went_wrong_beside_the_training_is_said_once(remarks):
    failing = Aside(lambda: Service(fail=True))
    trackers = Trackers({"bad": failing}, None, None)
    trackers.log(1, {"loss": 2.0})
    failing._thread.join(5)
    for step in (2, 3):
        trackers.log(step, {"loss": 2.0})
    trackers.finish()
    assert remarks == ["Tracker 'bad' is told no more from step 2 on, the training goes on: the server is down"]


def test_the_line_on_the_screen():
    step = TrainingStep(0, {"loss": 2.5}, 1000, 1.0, 1e-3, 0.5)
    assert Trackers({}, 1e6, 4e9).note(step).startswith("loss 2.500, lr 0.001, 2,000 tokens/s, MFU 50%, ")
    assert "MFU" not in Trackers({}, None, None).note(step)
    falling = [9.0] * EACH + [5.0] * EACH + [2.0] * EACH
    assert drawn(falling) == "█▄▁"
    assert drawn([3.0] * 40) == drawn([math.nan] * 40) == drawn([1.0, 2.0]) == ""


def test_services_are_told_as_they_want_it(monkeypatch, remarks):
    calls = []

    class Run:
        url = "http://there/run"

        def log(self, values, step):
            calls.append(("log", values, step))

        def finish(self):
            calls.append(("finish",))

    def init(**options):
        calls.append(("init", options))
        return Run()

    started = types.SimpleNamespace(info=types.SimpleNamespace(run_id="run 1"))
    mlflow = types.SimpleNamespace(
        set_experiment=lambda name: calls.append(("experiment", name)),
        start_run=lambda run_name: calls.append(("start", run_name)) or started,
        log_params=lambda values: calls.append(("params", values)),
        MlflowClient=lambda: types.SimpleNamespace(log_batch=lambda run, metrics: calls.append((run, metrics))),
        entities=types.SimpleNamespace(Metric=lambda name, value, now, step: (name, value, step)),
        end_run=lambda: calls.append(("end",)),
    )
    wandb = types.SimpleNamespace(
        init=init, Settings=dict, setup=lambda settings: calls.append(("quiet", settings["silent"]))
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for name in ("wandb", "mlflow"):
        tracker = open_service(name, "fourfold", "run/stage", {"lr": 0.1})
        tracker.log([(7, {"loss": 1.0}), (8, {"loss": 2.0})])
        tracker.finish()
    assert remarks == ["fourfold run/stage: http://there/run"]
    assert calls == [
        ("quiet", True),
        ("init", {"project": "fourfold", "name": "run/stage", "config": {"lr": 0.1}}),
        ("log", {"loss": 1.0}, 7),
        ("log", {"loss": 2.0}, 8),
        ("finish",),
        ("experiment", "fourfold"),
        ("start", "run/stage"),
        ("params", {"lr": 0.1}),
        ("run 1", [("loss", 1.0, 7), ("loss", 2.0, 8)]),
        ("end",),
    ]


RECIPE = """
name = "told"
[corpus.text]
sources = ["stdlib"]
[tokenizer.bpe]
corpus = "corpus.text"
[pretrain.decoder]
model = { family = "lstm", layers = 1, hidden_size = 16 }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
budget = { steps = 1 }
"""


def test_a_tracker_that_is_not_there_is_refused_with_the_recipe(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        UserError, match=r"\[pretrain.decoder\]: tracker 'wandb' is not inst.*pip install 'fourfold\[wandb\]'"
    ):
        parse_recipe(RECIPE + 'trackers = ["wandb"]')
    with pytest.raises(UserError, match="Did you mean 'mlflow'"):
        require_service("mlflo")


def test_a_training_goes_on_with_other_trackers(monkeypatch):
    wandb = types.ModuleType("wandb")
    wandb.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    told, untold = (parse_recipe(RECIPE + line).stage("pretrain.decoder") for line in ('trackers = ["wandb"]', ""))
    assert told.options.trackers == ("wandb",)
    assert told.options.model_dump() == untold.options.model_dump()  # what decides whether a stage is done anew
