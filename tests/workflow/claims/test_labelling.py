"""Features of three generations, learnt from a tiny text and judged on labels of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.workflow.claims import read_claim, run_claim
from fourfold.workflow.claims.labelling import FeatureModels

CLAIM = """
name = "tiny"
title = { en = "Context helps", zh = "上下文" }
section = "1"
statement = { en = "It does.", zh = "是。" }
cites = ["zhao2023survey"]
limits = ["It is tiny."]
model = { features = "static" }
[data]
sources = [SOURCE]
vocabulary_size = 300
[labelled]
examples = 40
limit = 16
steps = 3
batch_size = 4
[training]
batch_size = 2
context = 32
[[axis]]
name = "features"
label = "features"
[axis.values]
static = { model = { features = "static", size = 8 } }
elmo = { model = { features = "elmo", hidden_size = 8, layers = 1 } }
encoder = { model = { features = "encoder", hidden_size = 16, layers = 1, heads = 2 } }
[[measurement]]
kind = "labels"
[[expect]]
says = "ELMo is better"
measure = "labelled"
better = { features = "elmo" }
than = { features = "static" }
[[figure]]
name = "labels"
kind = "dots"
measure = "labelled"
series = "features"
title = "Labels"
caption = "Dots."
[quick]
minutes = 0.1
steps = 2
[full]
minutes = 0.1
steps = 2
"""


@pytest.fixture
def files(text_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The claim, and 120 labelled texts."""
    claim, data = tmp_path / "tiny.toml", tmp_path / "records.jsonl"
    claim.write_text(CLAIM.replace("SOURCE", f'"{text_folder.as_posix()}"'), "utf-8")
    records = [{"text": f"the {'work' if n % 2 else 'license'} number {n}", "label": n % 2} for n in range(120)]
    data.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return claim, data


def test_each_kind_is_learnt_and_measured(files: tuple[Path, Path], tmp_path: Path) -> None:
    record = run_claim(files[0], "quick", tmp_path / "out", "again", data=files[1])
    rows = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert record["claim"] == rows["claim"] == "tiny"
    assert rows["data"]["source"] == "records.jsonl"
    assert rows["data"]["classes"] == 2
    cells = sorted((tmp_path / "out" / "cells").glob("*/result.json"))
    found = {path.parent.name: json.loads(path.read_text("utf-8"))["measured"][0]["numbers"] for path in cells}
    assert set(found) == {f"{kind}.{seed}" for kind in ("static", "elmo", "encoder") for seed in (1, 2, 3)}
    assert all(0 <= numbers["labelled"] <= 1 for numbers in found.values())
    assert "most frequent class" in (tmp_path / "out" / "page.md").read_text("utf-8")


def test_unknown_features_and_tasks_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = files[0].read_text("utf-8").replace('features = "encoder", hidden', 'features = "encode", hidden')
    files[0].write_text(wrong, "utf-8")
    with pytest.raises(UserError, match=r"unknown features 'encode'\. Did you mean 'encoder'"):
        FeatureModels(read_claim(files[0]), "quick", tmp_path / "out", files[1])
    files[0].write_text(wrong.replace("[labelled]", '[labelled]\ndata = "docstrings"'), "utf-8")
    with pytest.raises(UserError, match="no labelled records to classify"):
        FeatureModels(read_claim(files[0]), "quick", tmp_path / "out", None)
