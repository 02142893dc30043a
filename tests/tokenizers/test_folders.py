"""Tokenizers of encoders and encoder-decoders, from every kind of file, against `transformers` and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Core

from fourfold.errors import UserError
from fourfold.tokenizers import Tokenizer, has_tokenizer, train_byte_bpe

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "un", "##aff", "##able", ",", ".", "cafe"]
TEXTS = ["The cat sat.", "unaffable, the CAT", "café 你好 the", "", "a [MASK] sat", "  the\n\tcat  "]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def wordpiece_folder(folder: Path, **settings: object) -> Path:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def bpe_folder(folder: Path, special: list[str], **settings: object) -> Path:
    trained = train_byte_bpe(["the cat sat on the mat, the dog ran"] * 5, 290, special_tokens=special)
    values = json.loads(trained.core_copy().to_str())["model"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(values["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in values["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    if settings:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}])
def test_vocab_txt_is_berts_tokenizer(tmp_path: Path, settings: dict[str, object]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = wordpiece_folder(tmp_path / "bert", **settings)
    ours = Tokenizer.load(folder)
    theirs = transformers.BertTokenizer.from_pretrained(folder, **settings)
    for text in TEXTS:
        assert ours.encode(text.replace("[MASK]", "the")) == theirs.encode(text.replace("[MASK]", "the"))
        assert ours.encode_masked(text) == theirs.encode(text)
    pair = theirs("the cat", "sat, sat")
    assert ours.encode_pair("the cat", "sat, sat") == (pair["input_ids"], pair["token_type_ids"])
    assert (ours.mask_id, ours.pad_id, ours.unk_id, ours.bos_id) == (4, 0, 1, None)


def test_a_mask_in_a_text_is_text_unless_asked_for(tmp_path: Path) -> None:
    ours = Tokenizer.load(wordpiece_folder(tmp_path / "bert"))
    assert ours.mask_id not in ours.encode("a [MASK] sat")
    assert ours.encode_masked("the [MASK] [SEP]").count(4) == 1
    assert ours.encode_masked("the [MASK] [SEP]").count(3) == 1
    plain = train_byte_bpe(["some text"], 300)
    with pytest.raises(UserError, match="no mask token"):
        plain.encode_masked("a")


def test_limits_cut_the_text_and_keep_the_ends(tmp_path: Path) -> None:
    ours = Tokenizer.load(wordpiece_folder(tmp_path / "bert"))
    assert ours.encode_batch(["the cat sat the cat", "the"], limit=4) == [[2, 5, 6, 3], [2, 5, 3]]
    assert ours.encode_batch(["the cat sat the cat"])[0] == [2, 5, 6, 7, 5, 6, 3]
    ids, segments = ours.encode_pair("the cat sat the cat", "sat", limit=6)
    assert (ids, segments) == ([2, 5, 6, 3, 7, 3], [0, 0, 0, 0, 1, 1])


def test_vocab_json_with_roberta_tokens_is_robertas_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = bpe_folder(tmp_path / "roberta", ROBERTA)
    ours = Tokenizer.load(folder)
    theirs = transformers.RobertaTokenizer.from_pretrained(folder)
    for text in ("the cat sat", " the  dog", "", "naïve 你"):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text
    # As in RoBERTa's released tokenizer.json, the mask takes the space before it; transformers' rebuilt one does not.
    assert ours.encode_masked("the <mask> sat") == [*theirs.encode("the")[:-1], 4, *theirs.encode(" sat")[1:]]
    assert list(ours.encode_pair("the cat", "sat").ids) == theirs("the cat", "sat")["input_ids"]
    assert (ours.bos_id, ours.eos_id, ours.mask_id) == (0, 2, 4)
    assert ours.encode("")[:1] == [ours.bos_id]


def test_vocab_json_of_gpt2_adds_nothing(tmp_path: Path) -> None:
    ours = Tokenizer.load(bpe_folder(tmp_path / "gpt2", ["<|endoftext|>"]))
    assert ours.encode("") == []
    assert (ours.bos_id, ours.eos_id, ours.mask_id) == (0, 0, None)
    started = Tokenizer.load(bpe_folder(tmp_path / "opt", ["</s>"], bos_token="</s>", add_bos_token=True))
    assert started.encode("") == [started.bos_id]


def unigram() -> Core:
    """T5's arrangement: SentencePiece unigram, an end token, sentinels."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁the", -3.0), ("▁cat", -4.0), ("s", -5.0)]
    core = Core(models.Unigram([*pieces, ("at", -5.5), ("t", -6.0), ("a", -6.5), ("c", -7.0)], unk_id=2))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    names = ("<pad>", "</s>", "<unk>", "<extra_id_0>")
    core.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return core


def test_unigram_tokenizer_json_is_t5s_tokenizer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    Tokenizer(unigram(), eos="</s>", pad="<pad>", unk="<unk>").save(tmp_path)
    ours = Tokenizer.load(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    for text in ("the cats sat", " the  cat", "", "x the"):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text), skip_special_tokens=True)
    stream = ours.decode_stream()
    ids = ours.encode("the cat sat")
    assert "".join(stream.step(id) for id in ids) + stream.finish() == ours.decode(ids) == "the cat sat"
    assert (ours.eos_id, ours.document_start_id, ours.pad_id) == (1, 1, 0)


def test_saved_folders_come_back_as_tokenizer_json(tmp_path: Path) -> None:
    for name, folder in {
        "b": wordpiece_folder(tmp_path / "bert"),
        "r": bpe_folder(tmp_path / "roberta", ROBERTA),
    }.items():
        ours = Tokenizer.load(folder)
        ours.save(tmp_path / name)
        again = Tokenizer.load(tmp_path / name)
        assert again.hash == ours.hash
        assert again.mask_id == ours.mask_id == 4
        assert again.encode("the cat") == ours.encode("the cat")


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    assert not has_tokenizer(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"\n\x0b")
    with pytest.raises(UserError, match=r"only in spiece\.model.*AutoTokenizer"):
        Tokenizer.load(tmp_path)
    folder = wordpiece_folder(tmp_path / "bert", cls_token="<cls>")
    assert has_tokenizer(folder)
    with pytest.raises(UserError, match="cls_token '<cls>' is not in the vocabulary"):
        Tokenizer.load(folder)
    with pytest.raises(UserError, match=r"unk_token '\[OOV\]' is not in the vocabulary"):
        Tokenizer.load(wordpiece_folder(tmp_path / "unknown", unk_token="[OOV]"))
    with pytest.raises(UserError, match="wrong type"):
        Tokenizer.load(wordpiece_folder(tmp_path / "typed", do_lower_case="no"))
    (folder / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(UserError, match="not the settings of a tokenizer"):
        Tokenizer.load(folder)
    broken = bpe_folder(tmp_path / "bpe", ROBERTA)
    (broken / "merges.txt").write_text("zz qq\n")
    with pytest.raises(UserError, match="merges do not fit"):
        Tokenizer.load(broken)
    (broken / "vocab.json").write_text('{"a": 1, "b": 1}')
    with pytest.raises(UserError, match="share an id"):
        Tokenizer.load(broken)
    (broken / "vocab.json").write_text("[]")
    with pytest.raises(UserError, match="not a vocabulary"):
        Tokenizer.load(broken)
