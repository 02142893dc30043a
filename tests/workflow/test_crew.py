"""One recipe by several processes: what torchrun starts, a rank that dies, going on with another number of them."""

from __future__ import annotations

import json
import os
import random
import re
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
    assert re.search(r"^Error: Rank 0 lost another process of this training: its connection is closed\. ", err, re.M)
    assert "Traceback" not in err
    assert out == ""
    code, _, err = ended(command(place, "-m", "fourfold", "run", "small.toml", "--runs", "lost", **ALONE))
    assert code == 0, err
    assert "continuing after step" in err
    check_result(place, "lost", "alone")


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


def test_one_process_says_what_is_wrong_for_all(place):
    ends = [ended(process) for process in together(place, "-m", "fourfold", "run", "small.toml", world=3)]
    assert [code for code, _, _ in ends] == [2, 2, 2]
    assert "expected a multiple of 3, got 8" in ends[0][2]
    assert [err for _, _, err in ends[1:]] == ["", ""]
