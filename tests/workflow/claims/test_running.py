"""A whole claim: the bundle it leaves, what is never done twice, and what a kill costs."""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fourfold.cli.app import run as fourfold
from fourfold.errors import Interrupted, UserError
from fourfold.training import Diverged
from fourfold.workflow.claims import fitting, index_page, register, run_claim

VOLATILE = ("seconds", "processor_seconds")


@pytest.fixture
def done(finished, tmp_path):
    """A copy of it to work in."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def begun(finished, tmp_path):
    """A folder that has the data and no cell yet."""
    shutil.copytree(finished / "data", tmp_path / "begun" / "data")
    return tmp_path / "begun"


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def without_times(record):
    return {key: value for key, value in record.items() if key not in VOLATILE}


@pytest.fixture
def trained(monkeypatch):
    """Names of the cells that were trained, in order; a name in `stop` is interrupted, in `diverge` diverges."""
    log, stop, diverge = [], set(), set()
    fit = fitting.run_fit

    def watched(context, *rest):
        log.append(context.name)
        if context.name in stop:
            raise KeyboardInterrupt
        totals = fit(context, *rest)
        if context.name in diverge:
            raise Diverged("the loss is nan")
        return totals

    monkeypatch.setattr(fitting, "run_fit", watched)
    return log, stop, diverge


def test_a_claim_leaves_its_bundle(finished):
    folder, record = finished, results(finished)
    assert len(list((folder / "cells").iterdir())) == 6
    assert record["verdict"] in ("agrees", "disagrees", "cannot tell at this size")
    for name in ("loss", "lengths", "curves"):
        ElementTree.fromstring((folder / "figures" / f"{name}.svg").read_text("utf-8"))
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    with open(folder / "results.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * 3  # layers, positions as trained and stretched, seeds
    assert float(rows[0]["loss"]) == record["rows"][0]["numbers"]["loss"]
    assert len((folder / "loss_by_position.csv").read_text("utf-8").splitlines()) == 1 + 12 * 32
    page = (folder / "page.md").read_text("utf-8")
    for text in ("More layers predict better.", "层数越多", f"**Our run {record['verdict']}**", "](figures/loss.svg)"):
        assert text in page
    assert all((folder / picture).is_file() for picture in re.findall(r"\]\((figures/[^)]+)\)", page))
    assert "@article{zhao2023survey" in (folder / "references.bib").read_text("utf-8")
    assert "3 steps" in (folder / "methods.md").read_text("utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert [sitting["outcome"] for sitting in manifest["sittings"]] == ["finished"]


def test_a_finished_cell_is_never_trained_again(claim_file, done, trained):
    first = results(done)
    assert run_claim(claim_file, "quick", done, "again") == first
    assert trained[0] == []
    # The rule turned round asks old numbers a new question.
    text = claim_file.read_text("utf-8")
    turned = text.replace('better = { layers = "last" }', 'better = { layers = "first" }')
    claim_file.write_text(turned.replace('than = { layers = "first" }', 'than = { layers = "last" }'), "utf-8")
    second = run_claim(claim_file, "quick", done, "again")
    assert trained[0] == []
    assert second["comparisons"][0]["advantage"] == pytest.approx(-first["comparisons"][0]["advantage"])
    claim_file.write_text(text.replace("steps = 3", "steps = 2"), "utf-8")
    run_claim(claim_file, "quick", done, "again")
    assert len(trained[0]) == 6


def test_a_killed_claim_goes_on_to_the_same_numbers(claim_file, finished, begun, trained):
    log, stop, _ = trained
    stop.add("1_rope.2")
    with pytest.raises(Interrupted, match="fourfold claim run tiny"):
        run_claim(claim_file, "quick", begun, "fourfold claim run tiny")
    assert log == ["1_rope.1", "2_rope.1", "1_rope.2"]
    stop.clear()
    log.clear()
    resumed = run_claim(claim_file, "quick", begun, "again")
    assert log == ["1_rope.2", "2_rope.2", "1_rope.3", "2_rope.3"]
    assert without_times(resumed) == without_times(results(finished))
    manifest = json.loads((begun / "manifest.json").read_text("utf-8"))
    assert [sitting["outcome"] for sitting in manifest["sittings"]] == ["interrupted", "finished"]


def test_a_run_that_diverges_is_a_result(claim_file, begun, trained):
    trained[2].add("2_rope.1")
    record = run_claim(claim_file, "quick", begun, "again")
    failed = {(row["labels"]["layers"], row["seed"]): row["numbers"]["failed"] for row in record["rows"]}
    assert failed["2", 1] == 1.0


def test_values_that_are_not_equal_are_refused(claim_file, begun):
    text = claim_file.read_text("utf-8")
    claim_file.write_text(text.replace("[[axis]]", "[equal]\nparameters = 0.01\n[[axis]]", 1), "utf-8")
    with pytest.raises(UserError, match="the variants do not have equally many parameters, expected at most 1% apart"):
        run_claim(claim_file, "quick", begun, "again")


def test_equal_compute_gives_cheaper_models_more_steps(claim_file, begun):
    text = claim_file.read_text("utf-8").replace("steps = 3", "steps = 12")
    claim_file.write_text(text.replace("[[axis]]", "[equal]\nflops = true\n[[axis]]", 1), "utf-8")
    record = run_claim(claim_file, "quick", begun, "again")
    one, two = record["models"]
    assert one["steps"] == 12 > two["steps"]
    assert one["flops"] == pytest.approx(two["flops"], rel=0.1)


def test_registered_runs_make_the_index(finished, tmp_path):
    record, docs = results(finished), tmp_path / "docs"
    index = register([finished], docs)
    assert index.read_text("utf-8") == index_page(docs)
    row = next(line for line in index_page(docs).splitlines() if line.startswith("| 4.2 "))
    for text in (
        "[Deeper is better](tiny.md)<br>More layers predict better.<br>(Zhao et al. 2023)",
        "`fourfold claim run tiny --quick`",
        f"**{record['verdict']}**",
        f"{record['comparisons'][0]['detectable']:.3f}<br>held-out loss",
    ):
        assert text in row
    chinese = (docs / "README.zh.md").read_text("utf-8")
    assert chinese == index_page(docs, "zh")
    assert "## 预训练" in chinese
    assert "[越深越好](tiny.md)<br>层数越多，预测越好。" in chinese
    assert register([], docs) == index
    page = (docs / "tiny.md").read_text("utf-8")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert len(pictures) == 3
    assert all((docs / picture).is_file() for picture in pictures)
    with pytest.raises(UserError, match="no finished claim"):
        register([tmp_path / "nothing"], docs)


def test_the_commands(claim_file, done, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fourfold(["claim", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert "activations" in [row["name"] for row in listed]
    assert all(row["predictions"] and row["minutes"]["quick"] <= 9 for row in listed)
    assert fourfold(["claim", "list"]) == 0
    out = capsys.readouterr().out
    assert "Pre-training  预训练" in out
    assert "fourfold claim run letters-hide-ability" in out
    assert fourfold(["claim", "run", str(claim_file), "-o", "out"]) == 0
    out = capsys.readouterr().out
    assert "Our run " in out
    assert out.splitlines()[-1] == "Result: out/page.md   Next: fourfold claim register out"
    assert fourfold(["claim", "run", str(claim_file), "-o", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["claim"] == "tiny"
    assert fourfold(["claim", "register", "out", "--docs", "pages"]) == 0
    assert (tmp_path / "pages" / "tiny.md").is_file()
    capsys.readouterr()
    assert fourfold(["claim", "run", "activation"]) == 2
    assert "Did you mean 'activations'?" in capsys.readouterr().err
    assert fourfold(["claim", "run", "activations", "--model", "smollm2", "-o", "own"]) == 2
    assert "makes its own models" in capsys.readouterr().err
    assert fourfold(["claim", "run", "activations", "--quick", "--full"]) == 2
    assert "exclude each other" in capsys.readouterr().err
