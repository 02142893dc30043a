"""Models of a claim that are counted, and models that start where another ended."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import fourfold
from fourfold.errors import UserError
from fourfold.models import build_model
from fourfold.models.ngram import train_ngram
from fourfold.training import adamw, load_latest_checkpoint
from fourfold.workflow.claims import read_claim, run_claim
from fourfold.workflow.claims.data import drawn, make_data, stream_of
from fourfold.workflow.claims.sparsity import coverage_of
from fourfold.workflow.claims.spec import DataOptions, Part

HEAD = """
name = "tiny"
title = { en = "Tiny", zh = "小" }
section = "1"
statement = { en = "It is tiny.", zh = "很小。" }
cites = ["zhao2023survey"]
limits = ["It is tiny."]
"""
COUNTED = """
model = { family = "ngram", order = 2, smoothing = "maximum-likelihood" }
[data]
sources = [SOURCE]
vocabulary_size = 300
[training]
context = 16
[[axis]]
name = "order"
label = "order"
values = { 1 = { model = { order = 1 } }, 3 = { model = { order = 3 } } }
[[axis]]
name = "text"
label = "tokens"
values = { small = { training = { parts = [{ tokens = 256 }] } }, all = {} }
[[measurement]]
kind = "coverage"
tokens = 256
[[expect]]
says = "short n-grams were seen"
measure = "seen"
better = { order = "1" }
than = { order = "rest" }
[[figure]]
name = "seen"
kind = "lines"
measure = "seen"
series = "text"
x = "order"
title = "Seen"
caption = "Means."
[quick]
minutes = 0.1
steps = 1
[full]
minutes = 0.1
steps = 1
"""
TUNED = """
model = { family = "llama", layers = 1, hidden_size = 16, heads = 2, context = 64 }
[data]
sources = [SOURCE]
second = [SECOND]
vocabulary_size = 300
[training]
batch_size = 4
context = 16
[[axis]]
name = "tuning"
label = "tuning"
[axis.values]
before = {}
after = { after = "before", training = { length = 0.5, lr = 1e-2, parts = [{ text = "second" }] } }
replay = { after = "before", training = { parts = [{ text = "second", share = 0.5 }, { share = 0.5 }] } }
[[measurement]]
kind = "texts"
tokens = 256
[[expect]]
says = "tuning teaches"
measure = "second_text"
better = { tuning = "after" }
than = { tuning = "before" }
[[figure]]
name = "first"
kind = "dots"
measure = "first_text"
series = "tuning"
title = "First"
caption = "Dots."
[quick]
minutes = 0.1
steps = 6
[full]
minutes = 0.1
steps = 6
"""


@pytest.fixture(scope="module")
def code_folder(tmp_path_factory):
    """Forty short documents of another kind: pieces of source code."""
    folder = tmp_path_factory.mktemp("code")
    package = Path(fourfold.__file__).parent
    files = [package / "measures" / f"{name}.py" for name in ("blocks", "comparisons", "intervals", "power", "seeds")]
    lines = "\n".join(path.read_text("utf-8") for path in files).splitlines()
    for number in range(40):
        (folder / f"{number}.txt").write_text("\n".join(lines[number * 10 : number * 10 + 10]) + "\n", "utf-8")
    return folder


def run(text, folder, text_folder, code_folder=None):
    text = HEAD + text.replace("SOURCE", json.dumps(str(text_folder)))
    path = folder / "tiny.toml"
    path.write_text(text.replace("SECOND", json.dumps(str(code_folder))), "utf-8")
    return run_claim(path, "quick", folder / "out", "again")


@pytest.fixture(scope="module")
def counted(text_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("counted")
    return run(COUNTED, folder, text_folder), folder / "out"


@pytest.fixture(scope="module")
def tuned(text_folder, code_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return run(TUNED, folder, text_folder, code_folder), folder / "out"


def test_counted_models_are_those_of_the_drawn_documents(counted, data):
    record, _ = counted
    for row in record["rows"]:
        order, small = int(row["labels"]["order"]), row["labels"]["text"] == "small"
        shards = drawn(data.train, 256, row["seed"]) if small else data.train
        found = coverage_of(stream_of(shards, data.start_id), data.held_out, order, 300)
        assert row["numbers"]["seen"] == pytest.approx(found.seen)
    small = [model for model in record["models"] if model["labels"]["text"] == "small"]
    assert all(model["making"] == "counted" and model["parameters"] > 0 for model in small)


def test_impossible_tokens_are_those_without_a_count(counted, data):
    record, _ = counted
    counts = np.bincount(data.train.tokens, minlength=300)
    rows = data.rows(16, 256)[:, 1:]
    # Of order 1 with all the text: tokens that never occur; the start token ends every document.
    expected = float(np.mean((counts[rows] == 0) & (rows != data.start_id)))
    found = [row for row in record["rows"] if row["labels"] == {"order": "1", "text": "all"}]
    assert [row["numbers"]["impossible"] for row in found] == pytest.approx([expected] * 3)


def test_seeds_draw_other_documents_up_to_the_size(data):
    first, second = drawn(data.train, 256, 1), drawn(data.train, 256, 2)
    assert first.token_count == second.token_count == 256 == first.ends[-1]
    assert first.tokens.tolist() != second.tokens.tolist()
    texts = [document.tolist() for document in data.train]
    assert all(document.tolist() in texts for document in list(first)[:-1])
    cut = list(first)[-1].tolist()
    assert any(text[: len(cut)] == cut for text in texts)
    with pytest.raises(UserError, match="a part is larger than its text"):
        drawn(data.train, 10**7, 1)
    with pytest.raises(UserError, match="of the second text, which the claim does not have"):
        data.part(Part(text="second"), 1)


def test_a_smoothed_loss_is_the_models_own(data):
    """`nats` of an n-gram model over rows, against its log-probabilities token by token."""
    from fourfold.workflow.claims.measuring import Subject, nats
    from fourfold.workflow.claims.spec import TrainingOptions

    module = train_ngram(data.train, order=3, vocabulary_size=300, bos_id=data.start_id, eos_id=data.start_id)
    subject = Subject(module=module, data=data, training=TrainingOptions(context=16), seed=1)
    rows = data.rows(16, 64)
    logits, _ = module(torch.from_numpy(rows[:, :-1]))
    expected = -torch.gather(logits, 2, torch.from_numpy(rows[:, 1:, None]))[..., 0]
    np.testing.assert_allclose(nats(subject, module, rows, "stream"), expected.numpy(), atol=1e-4)


def test_tuning_starts_from_the_weights_of_its_origin(tuned):
    record, out = tuned
    model = build_model(read_claim(out / "claim.toml").model, 300, seed=1)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    assert load_latest_checkpoint(out / "cells" / "before.1" / "checkpoints", model, adamw(model, 1e-3)) is not None
    assert any(not torch.equal(value, fresh[name]) for name, value in model.state_dict().items())
    assert not (out / "cells" / "after.1" / "checkpoints").exists()
    first = {  # the loss of the first step, before anything is learnt in it
        name: json.loads((out / "cells" / f"{name}.1" / "metrics.jsonl").read_text("utf-8").splitlines()[0])["loss"]
        for name in ("before", "replay")
    }
    assert first["replay"] < first["before"]
    steps = {model["labels"]["tuning"]: model["steps"] for model in record["models"]}
    assert steps == {"before": 6, "after": 3, "replay": 6}


def test_bits_are_per_byte_of_the_tokens_that_are_predicted(tuned, text_folder, code_folder):
    record, out = tuned
    options = DataOptions(sources=(str(text_folder),), second=(str(code_folder),), vocabulary_size=300)
    data = make_data(options, out)
    assert data.describe()["second_train_tokens"] == data.texts["second"].train.token_count
    held_out = data.texts["second"].held_out
    texts = "".join(path.read_text("utf-8") for path in code_folder.glob("*.txt"))
    for document in np.split(held_out, np.flatnonzero(held_out == data.start_id))[1:]:
        assert data.tokenizer.decode(document[1:9].tolist()).strip() in texts
    written = b"".join(data.tokenizer.token_bytes(int(token)) for token in held_out if token != data.start_id)
    assert data.token_bytes[held_out].sum() == len(written)
    for row in record["rows"]:
        assert 1 < row["numbers"]["second_text"] < math.log2(300) * 2


def test_an_origin_that_is_gone_is_said(tuned, tmp_path):
    from fourfold.workflow.claims.fitting import _start_from
    from fourfold.workflow.training import OptimizerOptions

    with pytest.raises(UserError, match="the model to start from is gone"):
        _start_from(tmp_path, build_model(read_claim(tuned[1] / "claim.toml").model, 300), OptimizerOptions())


def test_what_counting_has_no_use_for_is_refused(text_folder, tmp_path):
    with pytest.raises(UserError, match="'smoothing' is missing"):
        run(COUNTED.replace(', smoothing = "maximum-likelihood"', ""), tmp_path, text_folder)
    wrong = COUNTED.replace("{ tokens = 256 }", "{ tokens = 256, share = 0.5 }, { share = 0.5 }")
    with pytest.raises(UserError, match="an n-gram model counts one part"):
        run(wrong, tmp_path, text_folder)
