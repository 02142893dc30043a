"""More merges after the old ones: the oracle is the old tokenizer itself, and training from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Core
from tokenizers import models, pre_tokenizers

from fourfold.errors import UserError
from fourfold.tokenizers import CHAT_TOKENS, Tokenizer, extend_tokenizer, train_byte_bpe

PLAIN = ["the river runs over stone and under the bridge near the garden"] * 5 + ["winter light on water"] * 3
LAW = ["the lessee shall indemnify the lessor hereinafter the covenant"] * 6 + ["lessor and lessee, the lessors'"] * 4
BASE = train_byte_bpe(PLAIN, 290)
NEW = extend_tokenizer(BASE, LAW, 60)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(" ".join(PLAIN + LAW).split())).map(" ".join)))
def test_new_tokens_written_as_their_pieces_are_the_old_encoding(text: str) -> None:
    new = NEW.tokenizer.encode_ordinary(text)
    assert [old for id in new for old in NEW.pieces.get(id, [id])] == BASE.encode_ordinary(text)
    assert NEW.tokenizer.decode(new) == BASE.decode(BASE.encode_ordinary(text))


def test_the_text_takes_fewer_tokens_and_ids_follow_the_old_ones() -> None:
    before, after = (sum(len(t.encode_ordinary(text)) for text in LAW) for t in (BASE, NEW.tokenizer))
    assert after < before / 2
    assert list(NEW.pieces) == list(range(BASE.vocabulary_size, NEW.tokenizer.vocabulary_size))
    assert NEW.tokenizer.special_ids == BASE.special_ids
    assert NEW.tokenizer.eos_id == BASE.eos_id
    turn = [{"role": "user", "content": "a"}]
    chat = NEW.tokenizer.encode_chat(turn)
    assert [old for id in chat for old in NEW.pieces.get(id, [id])] == BASE.encode_chat(turn)


def test_going_on_from_bytes_is_training_from_nothing() -> None:
    """Begun at the bytes alone, the new tokens are the library's own, pair by pair, where counts do not tie."""
    text = ["ab ab ab ab abc abc abc abcd abcd xyz"]
    bytes_alone = train_byte_bpe(["a"], 256 + len(CHAT_TOKENS))
    ours = extend_tokenizer(bytes_alone, text, 3)
    theirs = train_byte_bpe(text, 256 + len(CHAT_TOKENS) + 3)
    names = [ours.tokenizer.token_bytes(id) for id in ours.pieces]
    assert names == [theirs.token_bytes(id) for id in range(theirs.vocabulary_size - 3, theirs.vocabulary_size)]


def test_a_saved_one_reads_back(tmp_path: Path) -> None:
    NEW.tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.vocabulary_size == NEW.tokenizer.vocabulary_size
    assert again.encode(LAW[0]) == NEW.tokenizer.encode(LAW[0])
    assert again.special_ids == BASE.special_ids


def test_special_tokens_after_the_vocabulary_keep_their_ids() -> None:
    """Llama 3's layout: ids of special tokens follow the merges."""
    core = Core.from_str(train_byte_bpe(PLAIN, 280, special_tokens=()).core_copy().to_str())
    core.add_special_tokens(["<|end|>"])
    base = Tokenizer(core, eos="<|end|>")
    extended = extend_tokenizer(base, LAW, 10)
    assert extended.tokenizer.eos_id == base.eos_id == base.vocabulary_size - 1
    assert min(extended.pieces) == base.vocabulary_size
    assert extended.tokenizer.decode(extended.tokenizer.encode(LAW[0])) == LAW[0]


def test_a_text_without_pairs_gives_fewer_tokens() -> None:
    assert len(extend_tokenizer(BASE, ["qxzj"], 10).pieces) == 0


@pytest.mark.parametrize(
    ("model", "tokens", "sentence"),
    [
        (models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"), 5, "only a vocabulary of byte-pair merges"),
        (models.Unigram([("a", -1.0)]), 5, "got Unigram"),
        (models.BPE({"a": 0}, []), 0, "1 or more"),
    ],
)
def test_what_cannot_be_extended_is_one_sentence(model: models.Model, tokens: int, sentence: str) -> None:
    core = Core(model)
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(UserError, match=sentence):
        extend_tokenizer(Tokenizer(core), LAW, tokens)
