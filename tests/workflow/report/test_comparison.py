"""The folder of a comparison: what is in it, and that the page stands alone."""

import csv
import json
import random
import re
from html.parser import HTMLParser

import pytest

from fourfold.cli import main
from fourfold.errors import UserError
from fourfold.evaluation import compare
from fourfold.workflow.report import write_comparison, write_flips

SNEAKY = "<script>alert('x')</script> | *bold* [a](b)"


def results(tmp_path, scale=1.0):
    draw = random.Random(0)
    for name, chance in (("a", 0.3), ("b", 0.9)):
        lines = [
            {"question": f"{SNEAKY} {n}", "task": task, "score": scale * (draw.random() < chance), "output": SNEAKY}
            for task in ("one", "阅读")
            for n in range(40)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_folder(tmp_path):
    pytest.importorskip("matplotlib")
    found = results(tmp_path)
    page = write_comparison(found, tmp_path / "out")
    folder = page.parent
    names = {file.name for file in folder.iterdir()}
    assert names == {"comparison.html", "comparison.json", "flips.csv", "forest.svg", "forest.png"}
    assert json.loads((folder / "comparison.json").read_text("utf-8"))["rows"][0]["n"] == 40
    assert (folder / "forest.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = (folder / "forest.svg").read_text("utf-8")
    assert "阅读" in svg
    with open(folder / "flips.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found["flips"])
    assert [row["change"] for row in rows] == sorted((row["change"] for row in rows), reverse=True)
    assert {row["output_a"] for row in rows} == {SNEAKY}


def test_the_page_needs_nothing_and_runs_nothing(tmp_path):
    page = write_comparison(results(tmp_path), tmp_path / "out")
    tags = Tags()
    tags.feed(page.read_text("utf-8"))
    assert not [tag for tag, _ in tags.found if tag in ("script", "link", "iframe", "img", "object")]
    links = [value for _, attrs in tags.found for name, value in attrs.items() if name in ("href", "src")]
    assert all(link.startswith("#") for link in links if link)
    assert "better on one" in page.read_text("utf-8")


def test_other_units_have_no_plot_but_a_table(tmp_path):
    page = write_comparison(results(tmp_path, scale=7.5), tmp_path / "out")
    assert not (page.parent / "forest.svg").exists()
    assert "<svg" not in page.read_text("utf-8")
    assert re.search(r"\+\d", page.read_text("utf-8"))


def test_markdown_flips_hold_no_markup(tmp_path):
    found = results(tmp_path)
    write_flips(found["flips"], tmp_path / "flips.md", "a|b", "b")
    lines = (tmp_path / "flips.md").read_text("utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == len(found["flips"]) + 2
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in table[1:])
    assert "<script" not in "".join(lines).replace("\\<", "")
    with pytest.raises(UserError, match=r"flips.xlsx: flips are written to a table, expected .md or .csv or .jsonl"):
        write_flips(found["flips"], tmp_path / "flips.xlsx", "a", "b")


def test_the_command(tmp_path, capsys, monkeypatch):
    results(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a.jsonl", "b.jsonl", "--flips", "flips.jsonl", "-o", "out"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("The second is better on one, 阅读.")
    assert "Result: out/comparison.html" in shown
    assert (tmp_path / "flips.jsonl").is_file()
    with pytest.raises(SystemExit):
        main(["compare", "a.jsonl", "b.jsonl", "--json", "--metric", "score"])
    assert json.loads(capsys.readouterr().out)["correction"] == "Holm over 2 comparisons"
