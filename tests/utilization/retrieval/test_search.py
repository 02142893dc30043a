"""BM25 against bm25s and by hand; an index that grew against one made afresh; dense and hybrid search."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.kernels import hash_term
from fourfold.utilization.retrieval import open_index, terms_of
from fourfold.utilization.retrieval.dense import fuse
from fourfold.utilization.retrieval.postings import K1, B, Scores, bm25

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "中文", "检索", "系统", "文档", "段落"]


def write(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def random_text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, [1 / (rank + 1) for rank in range(len(WORDS))], k=rng.randrange(1, 60)))


def test_scores_are_those_of_bm25s(tmp_path):
    bm25s = pytest.importorskip("bm25s")
    rng = random.Random(0)
    texts = {f"{number:03}.txt": random_text(rng) for number in range(200)}
    oracle = bm25s.BM25(k1=K1, b=B, method="lucene")
    oracle.index([terms_of(text) for text in texts.values()], show_progress=False)
    index = open_index(write(tmp_path / "docs", texts), index_folder=tmp_path / "index")
    index.update()
    for question in ("gamma", "alpha alpha zeta", "文档检索系统 theta", "eta beta delta nothing"):
        known = [term for term in terms_of(question) if any(term in terms_of(text) for text in texts.values())]
        theirs = oracle.get_scores(known) * (K1 + 1)  # they leave out the constant factor
        hits = index.search(question, 20)
        assert [hit.score for hit in hits] == pytest.approx(sorted(theirs, reverse=True)[: len(hits)], rel=1e-5)
        ours = {hit.passage.source: hit.score for hit in hits}
        assert ours == pytest.approx({name: theirs[list(texts).index(name)] for name in ours}, rel=1e-5)


def test_one_score_by_hand(tmp_path):
    index = open_index(write(tmp_path / "docs", {"a.txt": "x x y", "b.txt": "y"}), index_folder=tmp_path / "index")
    index.update()
    (hit,) = index.search("x")
    # One of two passages holds x, twice; it has three terms where the mean is two.
    assert hit.score == pytest.approx(math.log(1 + 1.5 / 1.5) * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * 3 / 2)))
    assert hit.method == "bm25"
    assert hit.passage == index.passage(hit.passage.id)
    assert index.search("") == index.search("absent") == []


def test_an_index_that_grew_answers_as_one_made_afresh(tmp_path):
    rng = random.Random(1)
    docs = tmp_path / "docs"
    grown = open_index(write(docs, {}), index_folder=tmp_path / "grown")
    for _ in range(25):
        for _ in range(rng.randrange(1, 5)):
            path = docs / f"{rng.randrange(12)}.txt"
            if path.exists() and rng.random() < 0.4:
                path.unlink()
            else:
                path.write_text("\n\n".join(random_text(rng) for _ in range(rng.randrange(1, 40))), "utf-8")
        grown.update()
    fresh = open_index(docs, index_folder=tmp_path / "fresh")
    fresh.update()
    assert len(grown) == len(fresh) > 0
    for question in WORDS:
        assert grown.search(question, 10) == fresh.search(question, 10)
    assert len(grown._segments) <= 10  # 25 updates: small segments were merged


def test_chinese_is_found_across_scripts(tmp_path):
    texts = {"a.txt": "本公司的年假是十五天。", "b.txt": "加班費按小時計算。", "c.txt": "Holidays are in July."}
    index = open_index(write(tmp_path / "docs", texts), index_folder=tmp_path / "index")
    index.update()
    assert index.search("年假有多少天？")[0].passage.source == "a.txt"
    assert index.search("加班费怎么计算")[0].passage.source == "b.txt"
    assert index.search("HOLIDAYS")[0].passage.text == "Holidays are in July."


class Letters:
    """An encoder of sums: a text's vector counts its letters; it knows no Han."""

    name = "letters"
    limit = 26

    class tokenizer:  # stands for an object
        unk_id = 0

        @staticmethod
        def encode_batch_ordinary(texts):
            return [[0 if character > "~" else ord(character) for character in text] for text in texts]

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts):
        self.embedded += texts
        return torch.tensor([[float(text.lower().count(chr(97 + at))) for at in range(26)] for text in texts])


def test_dense_search_finds_by_vector_and_keeps_what_it_embedded(tmp_path):
    docs = write(tmp_path / "docs", {"a.txt": "aab", "b.txt": "zzy", "c.txt": "全是中文"})
    encoder = Letters()
    index = open_index(docs, index_folder=tmp_path / "index", encoder=encoder)
    index.update()
    hits = index.search("zy", method="dense")
    assert [hit.passage.source for hit in hits] == ["b.txt", "a.txt"]
    assert hits[0].score == pytest.approx(3 / math.sqrt(10), abs=2e-3)  # half precision on disk
    assert "全是中文" not in encoder.embedded
    encoder.embedded.clear()
    write(docs, {"b.txt": "qqq"})
    index.update()
    assert encoder.embedded == ["fourfold", "qqq"]
    assert {hit.passage.text for hit in index.search("zy", method="dense")} == {"aab", "qqq"}


def test_dense_search_refuses_what_it_can_not_read(tmp_path):
    index = open_index(write(tmp_path / "docs", {"a.txt": "abc"}), index_folder=tmp_path / "index", encoder=Letters())
    index.update()
    for method in ("dense", "hybrid"):
        with pytest.raises(UserError, match=r"can not read this question, expected at most 10% .* got 100%"):
            index.search("中文问题", method=method)
    other = open_index(write(tmp_path / "han", {"a.txt": "中文"}), index_folder=tmp_path / "i2", encoder=Letters())
    with pytest.raises(UserError, match="can read none of these documents"):
        other.update()
    with pytest.raises(UserError, match="dense search needs an encoder"):
        open_index(tmp_path / "docs", index_folder=tmp_path / "index").search("abc", method="dense")
    with pytest.raises(UserError, match="Did you mean 'hybrid'"):
        index.search("abc", method="hybird")  # type: ignore[arg-type]


def test_fusion_by_hand():
    first = Scores(np.array([4, 7, 9]), np.array([3.0, 2.0, 1.0], np.float32))
    second = Scores(np.array([9, 4]), np.array([0.9, 0.1], np.float32))
    fused = fuse(first, second, 2)
    assert fused.numbers.tolist() == [4, 9]
    assert fused.scores.tolist() == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61])


def test_no_passages_no_scores():
    assert bm25([], [hash_term("x")], 5).numbers.size == 0
