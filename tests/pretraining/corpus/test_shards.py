"""Shards and windows: every token once an epoch, labels one place on, a pure function of the step."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.files import read_json, write_json, write_jsonl
from fourfold.pretraining.corpus import Document, StreamBatches, TokenShards, WindowBatches, encode_corpus
from fourfold.tokenizers import byte_tokenizer, train_byte_bpe

TEXTS = ["first text", "", "a second, longer text <s> 你好", "x", "the last one of them all"]
START = 256


def write_corpus(folder: Path, texts: list[str]) -> None:
    write_jsonl(folder / "train.jsonl", (Document(id=str(i), text=t, source="t").record() for i, t in enumerate(texts)))


@pytest.fixture
def shards(tmp_path: Path) -> TokenShards:
    write_corpus(tmp_path, TEXTS)
    encode_corpus(tmp_path, byte_tokenizer(), tmp_path / "shards")
    return TokenShards.open(tmp_path / "shards", byte_tokenizer())


def stream() -> list[int]:
    return [id for text in TEXTS for id in (START, *text.encode())]


def test_shards_hold_the_documents(shards: TokenShards) -> None:
    assert [bytes(document.tolist()).decode() for document in shards] == TEXTS
    assert len(shards) == len(TEXTS)
    assert shards.manifest["tokens"] == shards.token_count == sum(len(text.encode()) for text in TEXTS)
    assert isinstance(shards.tokens, np.memmap)
    assert shards.tokens.dtype == np.dtype("<u2")
    with pytest.raises(IndexError):
        shards.documents(len(TEXTS))


def test_damaged_or_foreign_shards_are_refused(tmp_path: Path, shards: TokenShards) -> None:
    with pytest.raises(UserError, match="written by another tokenizer"):
        TokenShards.open(tmp_path / "shards", train_byte_bpe(["abc"], 260))
    file = tmp_path / "shards" / "tokens.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    with pytest.raises(UserError, match=r"tokens\.bin: the bytes do not match their SHA-256"):
        TokenShards.open(tmp_path / "shards", verified=True)
    file.write_bytes(whole[:-3])
    with pytest.raises(UserError, match=r"tokens\.bin: the file is cut off"):
        TokenShards.open(tmp_path / "shards")


def test_a_damaged_index_is_refused(tmp_path: Path, shards: TokenShards) -> None:
    file = tmp_path / "shards" / "tokens.idx"
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(UserError, match=r"tokens\.idx: the bytes do not match their SHA-256"):
        TokenShards.open(tmp_path / "shards", verified=True)
    file.unlink()
    with pytest.raises(UserError, match=rf"tokens\.idx: the file is cut off, expected {8 * len(TEXTS)} bytes, got 0"):
        TokenShards.open(tmp_path / "shards")


def test_shards_whose_index_has_no_hash_open(tmp_path: Path, shards: TokenShards) -> None:
    """As earlier versions wrote them."""
    path = tmp_path / "shards" / "manifest.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "index_sha256"})
    assert TokenShards.open(tmp_path / "shards", verified=True).tokens.tolist() == shards.tokens.tolist()


def test_a_malformed_corpus_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"id": "a", "text": "b", "source": "c"}\n{"id": 3}\n')
    with pytest.raises(UserError, match=r"train\.jsonl:2: not a document"):
        encode_corpus(tmp_path, byte_tokenizer(), tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("context", [1, 5, 7, 30])
@pytest.mark.parametrize("seed", [0, 3])
def test_an_epoch_visits_every_window_once(shards: TokenShards, context: int, seed: int) -> None:
    batches = WindowBatches(shards, 1, context, seed, START)
    whole = stream()
    for epoch in range(3):
        rows = [batches.at(epoch * batches.windows + step)[0] for step in range(batches.windows)]
        pieces = sorted(tuple(row.ids[0].tolist() + row.labels[0, -1:].tolist()) for row in rows)
        offsets = range((len(whole) - 1) % context + 1)
        expected = [
            sorted(tuple(whole[o + w * context : o + (w + 1) * context + 1]) for w in range(batches.windows))
            for o in offsets
        ]
        assert pieces in expected
        for row in rows:
            assert torch.equal(row.ids[0, 1:], row.labels[0, :-1])


def test_windows_are_a_pure_function_of_seed_and_step(shards: TokenShards) -> None:
    one, two = (WindowBatches(shards, 3, 6, 5, START) for _ in range(2))
    forward = [one.at(step)[0].ids for step in range(12)]
    backward = [two.at(step)[0].ids for step in reversed(range(12))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    other = WindowBatches(shards, 3, 6, 6, START)
    assert any(not torch.equal(a, other.at(step)[0].ids) for step, a in enumerate(forward))
    epochs = [torch.cat([one.at(step)[0].ids for step in range(4 * e, 4 * e + 4)]) for e in range(2)]
    assert not torch.equal(*epochs)


def test_micro_batches_are_the_batch_in_parts(shards: TokenShards) -> None:
    whole = WindowBatches(shards, 5, 6, 0, START).at(2)[0]
    parts = WindowBatches(shards, 5, 6, 0, START, micro_batch_size=2).at(2)
    assert [len(part.ids) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.ids for part in parts]), whole.ids)


def test_separate_documents_are_numbered(shards: TokenShards) -> None:
    batch = WindowBatches(shards, 4, 8, 0, START, separate=True).at(0)[0]
    assert batch.documents is not None
    for ids, numbers in zip(batch.ids.tolist(), batch.documents.tolist(), strict=True):
        for (_, before), (id, number) in itertools.pairwise(zip(ids, numbers, strict=True)):
            assert number - before == (1 if id == START else 0)


def test_without_a_start_token_texts_follow_each_other(shards: TokenShards) -> None:
    batches = WindowBatches(shards, 1, 10, 0, None)
    whole = "".join(TEXTS).encode()
    for step in range(batches.windows):
        assert bytes(batches.at(step)[0].ids[0].tolist()) in whole


def test_too_little_text_is_refused(shards: TokenShards) -> None:
    with pytest.raises(UserError, match="too short for one window, expected more than 4096 tokens"):
        WindowBatches(shards, 1, 4096, 0, START)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=2, max_size=8), st.integers(1, 6))
def test_the_stream_is_exact_for_any_documents(documents: list[list[int]], context: int) -> None:
    tokens = np.array([id for document in documents for id in document], "<u2")
    shards = TokenShards(tokens, np.cumsum([len(document) for document in documents]), {})
    whole = [id for document in documents for id in (99, *document)]
    if (len(whole) - 1) // context < 1:
        return
    batches = WindowBatches(shards, 2, context, 1, 99)
    text = ",".join(map(str, whole))
    for step in range(4):
        for row in batches.at(step)[0].ids.tolist():
            assert ",".join(map(str, row)) in text


def test_streams_go_on_row_by_row_and_read_all_lanes(shards: TokenShards) -> None:
    windows = WindowBatches(shards, 3, 4, 0, START)
    streams = StreamBatches(windows)
    steps = [streams.at(step)[0] for step in range(3 * streams.lane + 1)]
    for before, after in itertools.pairwise(steps[: streams.lane]):
        assert torch.equal(before.labels[:, -1], after.ids[:, 0])
    first = torch.cat([step.ids[0] for step in steps[:-1]])
    whole = stream()
    assert first.tolist() == whole[: len(first)]
    assert torch.equal(steps[0].ids, steps[-1].ids)
    assert torch.equal(steps[streams.lane].ids[0], steps[0].ids[1])
