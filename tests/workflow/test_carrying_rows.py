"""`carry = true`: a recurrent model whose rows go on in the text with their memory, resumed to the same bits."""

import json

import pytest

import fourfold
from fourfold.errors import UserError
from fourfold.workflow import parse_recipe, run_recipe
from fourfold.workflow.training import Totals

RECIPE = """
name = "{name}"
seed = 3
[corpus.text]
sources = ["{folder}"]
sample_bytes = 2000
filters = []
[tokenizer.bytes]
corpus = "corpus.text"
vocabulary_size = 260
[pretrain.memory]
model = {{ family = "gru", layers = 1, hidden_size = 24, context = 8 }}
tokenizer = "tokenizer.bytes"
corpus = "corpus.text"
batch_size = 4
carry = {carry}
budget = {{ steps = 30 }}
optimizer = {{ lr = 3e-2 }}
checkpoint = {{ steps = 4 }}
curve = {{ points = 2 }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carry") / "text"
    folder.mkdir()
    for number in range(8):
        lines = [f"{number}.{line} the quick brown fox jumps over the lazy dog" for line in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    return folder


def recipe(folder, name, carry="true"):
    return parse_recipe(RECIPE.format(folder=folder, name=name, carry=carry))


class Crash(Exception):
    pass


def test_it_learns_and_is_resumed_to_the_same_bits(folder, tmp_path, monkeypatch):
    run_recipe(recipe(folder, "whole"), tmp_path)
    run_recipe(recipe(folder, "without", carry="false"), tmp_path)
    add, left = Totals.add, 14

    def crash(self, step):
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash
        add(self, step)

    monkeypatch.setattr(Totals, "add", crash)
    with pytest.raises(Crash):
        run_recipe(recipe(folder, "cut"), tmp_path)
    monkeypatch.undo()
    run_recipe(recipe(folder, "cut"), tmp_path)
    whole, cut, without = (tmp_path / name / "pretrain.memory" for name in ("whole", "cut", "without"))
    assert (whole / "model/model.safetensors").read_bytes() == (cut / "model/model.safetensors").read_bytes()
    assert (whole / "model/model.safetensors").read_bytes() != (without / "model/model.safetensors").read_bytes()
    losses = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert losses[-1] < losses[0] - 1
    assert len(fourfold.load(str(whole / "model")).score(["the quick brown fox"])[0].ids) > 5


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('family = "gru"', 'family = "llama"', "only a recurrent network has a memory to carry"),
        ('family = "gru"', 'family = "feed-forward"', "only a recurrent network has a memory to carry"),
        ("batch_size = 4", "batch_size = 4\nramp = { start = 1, steps = 2 }", "cannot have 'ramp'"),
    ],
)
def test_what_has_no_memory_is_refused(folder, old, new, sentence):
    text = RECIPE.format(folder=folder, name="no", carry="true")
    with pytest.raises(UserError, match=sentence):
        parse_recipe(text.replace(old, new))
