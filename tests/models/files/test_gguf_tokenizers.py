"""Tokenizers in GGUF files against llama.cpp's own tokenization of the same file."""

import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers, trainers

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.files import read_gguf, save_gguf
from fourfold.models.files.gguf_writer import TensorPlan, write_gguf
from fourfold.models.transformer import Attention, FeedForward, TransformerConfig
from fourfold.tokenizers import Tokenizer, byte_tokenizer, from_gguf, to_gguf, train_byte_bpe

TEXTS = [
    "The State of the Union, 1862: \"fellow-citizens\" don't won't I'LL we've, 12345 and 3.14159, 2024-11-22",
    "def f(x):\n    return x ** 2  # comment\n\n\n\tif x:\t\tpass\n\n\n",
    "大语言模型(LLM)是什么？它会数数:一二三。价格是１２３元!",
    "emoji 😀👩‍👩‍👧 é è ñ ß — … “quotes” ½ ² x=10**100",
    "   leading and trailing   \n\n",
    "  a  1\n b",
    "mixedCASE_snake_case kebab-case http://example.org/a?b=c&d=e#f ALLCAPS CamelCase",
    "Привет, мир! مرحبا بالعالم 안녕하세요 ภาษาไทย こんにちは カタカナ",
    "x",
    " ",
    "\n",
]
NAMES = ["gpt-2", "phi-2", "smollm", "starcoder", "llama-bpe", "qwen2", "deepseek-r1-qwen", "tekken", "gpt-4o"]
NAMES += ["deepseek-llm", "deepseek-coder", "deepseek-v3"]
SIZE = 700


def file_of(metadata, path):
    """A file llama.cpp loads: a tiny model with this tokenizer."""
    model = TransformerLM(
        TransformerConfig(
            vocabulary_size=len(metadata["tokenizer.ggml.tokens"]),
            hidden_size=32,
            layers=1,
            context=32,
            attention=Attention(heads=2),
            feed_forward=FeedForward(size=32),
        )
    )
    model.initialise(torch.Generator().manual_seed(0))
    save_gguf(model, byte_tokenizer(), path / "plain.gguf", "f32")
    file = read_gguf(path / "plain.gguf")
    others = {name: value for name, value in file.metadata.items() if not name.startswith("tokenizer.")}
    plans = [TensorPlan(n, info.shape, info.type, lambda n=n: file.tensor(n)) for n, info in file.tensors.items()]
    write_gguf(path / "x.gguf", {**others, **metadata}, plans)
    return path / "x.gguf"


@pytest.fixture(scope="module")
def trained():
    return train_byte_bpe(TEXTS * 3, SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_byte_level_ids_are_those_of_llama_cpp(name, trained, peer, tmp_path):
    metadata = {**to_gguf(trained), "tokenizer.ggml.pre": name, "tokenizer.ggml.add_bos_token": False}
    theirs, ours = peer.LlamaCpp(file_of(metadata, tmp_path)), from_gguf(metadata)
    for text in TEXTS:
        assert ours.encode(text) == theirs.tokenize(text, special=True), text
        assert ours.decode(ours.encode(text)) == text
    theirs.close()


def pieces(**more):
    """A SentencePiece vocabulary: bytes, the pieces of a BPE trained on the texts, and a run of spaces."""
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    core.train_from_iterator(TEXTS[:5], trainers.BpeTrainer(vocab_size=400, show_progress=False))
    found = sorted(core.get_vocab().items(), key=lambda item: item[1])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    words = [token for token, _ in found]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, "    ", *words]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 260 + [-float(rank) for rank in range(len(words))],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, 4, *[1] * len(words)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        **more,
    }


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize(("start", "end"), [(True, False), (False, False), (True, True)])
def test_sentence_piece_ids_are_those_of_llama_cpp(prefix, start, end, peer, tmp_path):
    metadata = pieces(
        **{
            "tokenizer.ggml.add_space_prefix": prefix,
            "tokenizer.ggml.add_bos_token": start,
            "tokenizer.ggml.add_eos_token": end,
        },
    )
    theirs, ours = peer.LlamaCpp(file_of(metadata, tmp_path)), from_gguf(metadata)
    again = from_gguf(to_gguf(ours))
    for text in TEXTS:
        expected = theirs.tokenize(text, special=True)
        assert ours.encode(text) == expected, text
        assert again.encode(text) == expected, text
        # The space in front is put after every run of spaces too, which decoding cannot tell.
        assert ours.decode(expected) == text or (prefix and "    " in text)
    theirs.close()
    assert [(again.bos_id, again.eos_id, again.unk_id)] == [(1, 2, 0)]


def test_written_sentence_piece_metadata_comes_back():
    metadata = pieces(**{"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_space_prefix": False})
    again = to_gguf(from_gguf(metadata))
    for key in ("model", "pre", "tokens", "token_type", "bos_token_id", "add_bos_token", "add_space_prefix"):
        assert again[f"tokenizer.ggml.{key}"] == metadata[f"tokenizer.ggml.{key}"], key


def test_a_folder_keeps_a_sentence_piece_tokenizer(tmp_path):
    ours = from_gguf(pieces())
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    for text in TEXTS:
        assert again.encode(text) == ours.encode(text)


def test_merges_that_llama_cpp_would_not_make_are_refused():
    core = tokenizers.Tokenizer(
        models.BPE({"<unk>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "bc": 5, "abc": 6}, [("a", "b"), ("ab", "c")],
                   unk_token="<unk>", byte_fallback=True)
    )  # fmt: skip
    with pytest.raises(UserError, match="merge other pairs"):
        to_gguf(Tokenizer(core, unk="<unk>"))
