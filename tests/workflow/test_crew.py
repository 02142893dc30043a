"""One recipe by several processes: what torchrun starts, a rank that dies, going on with another number of them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fourfold
from fourfold.cli import main

HERE = Path(__file__).parent
STEPS = 60
RECIPE = f"""name = "small"
[corpus.text]
sources = ["notes"]
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
[pretrain.decoder]
model = {{ family = "llama", layers = 2, hidden_size = 32, heads = 4, kv_heads = 2, context = 32 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 8
budget = {{ steps = {STEPS} }}
checkpoint = {{ steps = 10, seconds = 1000 }}
curve = {{ points = 2, bytes = 256 }}
"""
ALONE = {"RANK": None, "WORLD_SIZE": None}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a text, a recipe, and what one process makes of them."""
    tmp_path = tmp_path_factory.mktemp("place")
    words = ["river", "stone", "light", "garden", "winter", "letter", "bridge", "music", "teacher", "market"]
    draw = random.Random(0)
    (tmp_path / "notes").mkdir()
    for number in range(30):
        lines = [" ".join([f"{number * 7 + line}.", *draw.choices(words, k=8)]) for line in range(20)]
        (tmp_path / "notes" / f"{number}.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "small.toml").write_text(RECIPE)
    assert ended(command(tmp_path, "-m", "fourfold", "run", "small.toml", "--runs", "alone", **ALONE))[0] == 0
    return tmp_path


def environment(**more):
    given = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"} | more
    return {key: value for key, value in given.items() if value is not None}


def command(place, *words, **more):
    """Start a command line in the folder."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, words)], cwd=place, env=environment(**more), **pipes)


def ended(process, seconds=300):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def together(place, *words, world=2):
    """The same command in so many processes, without torchrun to watch over them."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [command(place, *words, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(world)]


def rows(place, runs, name="metrics.jsonl"):
    path = place / runs / "small" / "pretrain.decoder" / name
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_result(place, runs, reference):
    """The run ended where one process would have."""
    losses = [row["loss"] for row in rows(place, runs)]
    assert [row["step"] for row in rows(place, runs)] == list(range(1, STEPS + 1))
    assert losses == pytest.approx([row["loss"] for row in rows(place, reference)], abs=5e-3)  # bf16
    curves = [rows(place, folder, "curve.jsonl")[-1]["bits_per_byte"]["en"] for folder in (runs, reference)]
    assert curves[0] == pytest.approx(curves[1], abs=5e-3)
    model = fourfold.load(str(place / runs / "small" / "pretrain.decoder" / "model"))
    assert model.score(["the river"])[0].bits_per_byte > 0


def plan(**values):
    return [word for key, value in values.items() for word in ("--set", f"pretrain.decoder.parallel.{key}={value}")]


def test_torchrun_goes_on_by_itself_when_a_rank_dies(place):
    checkpoints = place / "again" / "small" / "pretrain.decoder" / "checkpoints"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "--max-restarts", 1]
    words = ["run", "small.toml", "--runs", "again", *plan(data=2, shard="zero3")]
    code, out, err = ended(command(place, *launch, HERE / "lost_rank.py", checkpoints, *words))
    assert code == 0, err
    assert (checkpoints.parent / "died").exists()
    assert re.search(r"continuing after step \d+0 of 60", err)
    assert out.count("pretrain.decoder") == 1  # the first process alone shows results
    assert err.count("tokenizer.bpe: starting in the first of 2 processes\n") == 1
    assert "pretrain.decoder: starting\n" in err
    check_result(place, "again", "alone")


def test_the_others_say_that_a_rank_is_lost_and_one_process_goes_on(place):
    checkpoints = place / "lost" / "small" / "pretrain.decoder" / "checkpoints"
    words = [HERE / "lost_rank.py", checkpoints, "run", "small.toml", "--runs", "lost"]
    first, second = together(place, *words, *plan(tensor=2))
    assert ended(second)[0] == -9
    lost = time.monotonic()
    code, out, err = ended(first)
    assert time.monotonic() - lost < 20
    assert code == 1
    assert re.search(r"^Error: Another process of this training is lost: its connection is closed\. ", err, re.M)
    assert "Traceback" not in err
    assert out == ""
    code, _, err = ended(command(place, "-m", "fourfold", "run", "small.toml", "--runs", "lost", **ALONE))
    assert code == 0, err
    assert "continuing after step" in err
    check_result(place, "lost", "alone")


def test_seconds_are_probed_by_all_and_one_process_keeps_the_count(place):
    timed = RECIPE.replace(f"{{ steps = {STEPS} }}", "{ seconds = 1.5 }").replace("steps = 10,", "steps = 5,")
    (place / "timed.toml").write_text(timed)
    stage = place / "timed" / "small" / "pretrain.decoder"
    words = [HERE / "lost_rank.py", stage / "checkpoints", "run", "timed.toml", "--runs", "timed"]
    first, second = together(place, *words, *plan(data=2, shard="zero2"))
    assert ended(second)[0] == -9
    assert ended(first)[0] == 1
    budget = json.loads((stage / "budget.json").read_text())
    assert budget["asked"] == {"seconds": 1.5}
    assert budget["steps"] > 5
    code, _, err = ended(command(place, "-m", "fourfold", "run", "timed.toml", "--runs", "timed", **ALONE))
    assert code == 0, err
    assert re.search(rf"continuing after step \d+ of {budget['steps']}$", err, re.M)
    assert json.loads((stage / "budget.json").read_text()) == budget
    assert [row["step"] for row in rows(place, "timed")] == list(range(1, budget["steps"] + 1))


def test_a_measurement_may_take_longer_than_a_step_is_waited_for(place):
    words = [HERE / "slow_measurement.py", "run", "small.toml", "--runs", "slow", *plan(data=2)]
    ends = [ended(process) for process in together(place, *words)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    check_result(place, "slow", "alone")


def test_a_loss_that_is_no_number_is_said_once(place):
    words = [HERE / "poisoned.py", "run", "small.toml", "--runs", "poisoned", *plan(data=2, shard="zero2")]
    first, second = (ended(process) for process in together(place, *words))
    assert (first[0], second[0]) == (2, 0)
    assert re.search(r"^Error: training step 15: the loss is nan\. Lower the learning rate", first[2], re.M)
    assert second[1:] == ("", "")


def test_ctrl_c_saves_and_names_the_command_that_goes_on(place):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "fourfold"]
    words = ["run", "small.toml", "--runs", "stopped", *plan(data=2), "--set", "pretrain.decoder.checkpoint.steps=1000"]
    process = command(place, *launch, *words)
    metrics = place / "stopped" / "small" / "pretrain.decoder" / "metrics.jsonl"
    while process.poll() is None and not metrics.is_file():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, out, err = ended(process)
    assert out == ""
    again = "torchrun --nproc-per-node 2 -m fourfold run small.toml --runs stopped"
    assert err.count("Interrupted; finished work is kept.") == 1
    assert again in err.replace("stopped/small/recipe.toml", "small.toml")
    code, _, err = ended(command(place, *launch, *words))
    assert code == 0, err
    assert re.search(r"continuing after step \d+ of 60", err)
    check_result(place, "stopped", "alone")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (plan(data=2), r"pretrain\.decoder: the plan does not fit the processes.*expected 2 processes, got 1\."),
        (plan(data=3), r"the rows of a batch cannot be divided by 'data'.*expected a multiple of 3, got 8\."),
        (plan(tensor=4), r"the key-value heads cannot be divided by 'tensor', expected a multiple of 4, got 2\."),
        (
            [*plan(tensor=2), "--set", "pretrain.decoder.optimizer.kind=adafactor"],
            r"'adafactor' needs whole matrices, which this plan splits, expected adamw or lion\.",
        ),
        (plan(data=0), r"parallel\.data"),
        (plan(shard="zero4"), r"parallel\.shard"),
    ],
)
def test_bad_plans_are_one_sentence(place, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as left:
        main(["run", "small.toml", *map(str, words)])
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert re.search(sentence, err), err
    assert len(err.strip().splitlines()) == 1
    assert not (place / "runs").exists()


def test_a_memory_that_is_carried_is_refused(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    table = '{ family = "lstm", layers = 1, hidden_size = 16 }'
    (place / "memory.toml").write_text(re.sub(r"model = .*", f"model = {table}\ncarry = true", RECIPE))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as left:
        main(["run", "memory.toml"])
    assert left.value.code == 2
    assert "rows that carry their memory are trained by one process, got 2 processes" in capsys.readouterr().err


def test_one_process_says_what_is_wrong_for_all(place):
    ends = [ended(process) for process in together(place, "-m", "fourfold", "run", "small.toml", world=3)]
    assert [code for code, _, _ in ends] == [2, 2, 2]
    assert "expected a multiple of 3, got 8" in ends[0][2]
    assert [err for _, _, err in ends[1:]] == ["", ""]
