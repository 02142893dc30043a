"""Conversion: what comes out is what a direct save writes, nothing is left behind by a failure."""

import json
from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.files import convert, load_gguf, load_model, read_gguf, save_gguf, save_model
from fourfold.models.files.folder import own_tensors
from fourfold.models.files.gguf_reader import GGUF
from fourfold.models.files.gguf_writer import TensorPlan, write_gguf
from fourfold.models.files.streaming import stream_folder
from fourfold.models.interop import Pooling, read_pooling, write_pooling
from fourfold.models.transformer import (
    Attention,
    Embedding,
    FeedForward,
    Head,
    Learned,
    Norm,
    Rotary,
    TransformerConfig,
)
from fourfold.progress import use_sink
from fourfold.tokenizers import Tokenizer, byte_tokenizer, from_gguf

IDS = torch.tensor([[1, 5, 9, 2, 40, 7]])
LLAMA = TransformerConfig(
    vocabulary_size=260,
    hidden_size=64,
    layers=2,
    context=64,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=96),
    positions=Rotary(base=5000.0),
)
GELU = FeedForward(size=96, activation="gelu-tanh", gated=False, bias=True)
GPT2 = replace(
    LLAMA, attention=Attention(heads=4, bias=True), feed_forward=GELU, norm=Norm(kind="layer"), positions=Learned()
)
GEMMA = replace(
    LLAMA,
    attention=Attention(heads=4, kv_heads=1, head_size=32),
    feed_forward=FeedForward(size=96, activation="gelu-tanh"),
    norm=Norm(epsilon=1e-6, offset=1.0),
    embedding=Embedding(scale=8.0),
)
CONFIGS = {"llama": LLAMA, "llama untied": replace(LLAMA, head=Head(tied=False)), "gpt2": GPT2, "gemma": GEMMA}


def made(config, dtype=torch.float32):
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(3))
    return model.to(dtype).eval()


def folder_of(model, path):
    save_model(model, path)
    byte_tokenizer().save(path)
    return path


def logits(model):
    with torch.no_grad():
        return model.float()(IDS)[0]


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def test_there_and_back_again(config, tmp_path):
    model = made(config)
    convert(folder_of(model, tmp_path / "a"), tmp_path / "b.gguf", type="f32")
    convert(tmp_path / "b.gguf", tmp_path / "c")
    first, last = (load_model(tmp_path / name) for name in "ac")
    assert last.config == first.config
    for (name, one), other in zip(first.named_parameters(), last.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6 if config.norm.offset else 0, rtol=0), name
    text = "héllo 1"
    assert Tokenizer.load(tmp_path / "c").encode(text) == byte_tokenizer().encode(text)


def test_streamed_folders_are_those_that_save_writes(config, tmp_path):
    model = made(config, torch.bfloat16)
    save_model(model, tmp_path / "saved")
    stream_folder(config, own_tensors(model), tmp_path / "streamed")
    assert (tmp_path / "saved/model.safetensors").read_bytes() == (tmp_path / "streamed/model.safetensors").read_bytes()
    saved, streamed = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("saved", "streamed"))
    assert saved == streamed


def test_streamed_shards_are_read_back(tmp_path):
    model = made(LLAMA)
    stream_folder(LLAMA, own_tensors(model), tmp_path, shard_bytes=60_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    assert torch.equal(logits(load_model(tmp_path)), logits(model))


def test_converted_gguf_is_that_of_a_direct_save(config, tmp_path):
    model = made(config)
    convert(folder_of(model, tmp_path / "x"), tmp_path / "x.gguf", type="q8_0")
    save_gguf(model, byte_tokenizer(), tmp_path / "y.gguf", "q8_0", name="x")
    assert (tmp_path / "x.gguf").read_bytes() == (tmp_path / "y.gguf").read_bytes()


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k"])
def test_gguf_to_gguf_changes_the_type(tmp_path, kind):
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", "f32")
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", type=kind)
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "c.gguf", kind, name="a")
    assert (tmp_path / "b.gguf").read_bytes() == (tmp_path / "c.gguf").read_bytes()


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [("f16", None, torch.float16), ("bf16", None, torch.bfloat16), ("q8_0", None, torch.float32),
     ("q8_0", "bf16", torch.bfloat16)],
)  # fmt: skip
def test_folders_keep_the_precision_of_the_file(tmp_path, stored, asked, expected):
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", stored)
    module = load_model(convert(tmp_path / "a.gguf", tmp_path / "b", type=asked))
    assert {parameter.dtype for parameter in module.parameters()} == {expected}
    unpacked = load_gguf(tmp_path / "a.gguf")[0].to(expected)
    assert torch.equal(logits(module), logits(unpacked))


def test_transformers_reads_the_folder_of_a_gguf(config, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_gguf(made(config), byte_tokenizer(), tmp_path / "a.gguf", "q8_0")
    convert(tmp_path / "a.gguf", tmp_path / "b")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "b", dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(theirs(IDS).logits, logits(load_gguf(tmp_path / "a.gguf")[0]), atol=1e-5)


def test_only_one_tensor_is_unpacked_at_a_time(tmp_path, monkeypatch):
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", "q8_0")
    alive = []
    unpack = GGUF.tensor

    def counted(self, *arguments):
        alive[:] = [reference for reference in alive if reference() is not None]
        tensor = unpack(self, *arguments)
        import weakref

        alive.append(weakref.ref(tensor))
        assert len(alive) <= 2
        return tensor

    monkeypatch.setattr(GGUF, "tensor", counted)
    convert(tmp_path / "a.gguf", tmp_path / "b")
    convert(tmp_path / "a.gguf", tmp_path / "c.gguf", type="q4_0")


class Bars:
    """A sink that keeps what was reported."""

    def __init__(self):
        self.seen = []

    def start(self, label, total, unit):
        self.seen.append([label, total, 0.0, unit])
        return self

    def advance(self, amount=1, note=""):
        self.seen[-1][2] += amount

    def stop(self, task):
        pass

    def say(self, text):
        pass


@pytest.mark.parametrize("destination", ["b", "b.gguf"])
def test_progress_is_told_in_megabytes(tmp_path, destination):
    bars = Bars()
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", "q8_0")
    with use_sink(bars):
        convert(tmp_path / "a.gguf", tmp_path / destination)
    label, total, done, unit = bars.seen[-1]
    assert (label, unit) == ("writing", "MB")
    assert done == pytest.approx(total)


def test_a_file_is_not_converted_onto_itself(tmp_path):
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", "f32")
    (tmp_path / "link.gguf").symlink_to(tmp_path / "a.gguf")
    before = (tmp_path / "a.gguf").read_bytes()
    for other in (tmp_path / "a.gguf", tmp_path / "link.gguf"):
        with pytest.raises(UserError, match="are the same"):
            convert(tmp_path / "a.gguf", other)
    assert (tmp_path / "a.gguf").read_bytes() == before


@pytest.mark.parametrize("destination", ["c", "c.gguf"])
def test_a_tokenizer_with_more_tokens_than_the_model_is_told(tmp_path, destination):
    folder = folder_of(made(replace(LLAMA, vocabulary_size=100)), tmp_path / "a")
    with pytest.raises(UserError, match=r"a: the tokenizer has more tokens .* at most 100, got 259"):
        convert(folder, tmp_path / destination)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("destination", ["c", "c.gguf"])
def test_a_folder_without_a_tokenizer_says_what_to_do(tmp_path, destination):
    save_model(made(LLAMA), tmp_path / "a")
    with pytest.raises(UserError, match=r"a: there is no tokenizer .* tokenizer.json, .* Copy the"):
        convert(tmp_path / "a", tmp_path / destination)


def damaged(tmp_path, drop=(), **changed):
    save_gguf(made(LLAMA), byte_tokenizer(), tmp_path / "a.gguf", "f32")
    file = read_gguf(tmp_path / "a.gguf")
    plans = [
        TensorPlan(name, info.shape, info.type, lambda name=name: changed.get(name, file.tensor(name)))
        for name, info in file.tensors.items()
        if name not in drop
    ]
    write_gguf(tmp_path / "b.gguf", file.metadata, plans)
    return tmp_path / "b.gguf"


@pytest.mark.parametrize("destination", ["c", "c.gguf"])
def test_missing_tensors_are_named_and_nothing_is_left(tmp_path, destination):
    source = damaged(tmp_path, drop=("blk.1.attn_q.weight",))
    with pytest.raises(UserError, match=r"missing: blk.1.attn_q.weight"):
        convert(source, tmp_path / destination)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


@pytest.mark.parametrize("destination", ["c", "c.gguf"])
def test_values_that_are_not_numbers_are_named_and_nothing_is_left(tmp_path, destination):
    source = damaged(tmp_path)
    raw = bytearray(source.read_bytes())
    info = read_gguf(source).tensors["blk.1.ffn_up.weight"]
    raw[info.offset : info.offset + 4] = b"\xff\xff\xff\xff"
    source.write_bytes(raw)
    with pytest.raises(UserError, match=r"(ffn_up|mlp.up_proj).weight has values that are not numbers"):
        convert(source, tmp_path / destination)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]


def test_a_sentence_encoder_keeps_its_pooling(tmp_path):
    encoder = replace(LLAMA, mask="bidirectional", head=None)
    save_model(made(encoder), tmp_path / "a")
    byte_tokenizer().save(tmp_path / "a")
    pooling = Pooling(kind="mean", normalise=True)
    write_pooling(tmp_path / "a", pooling, encoder.hidden_size)
    assert read_pooling(convert(tmp_path / "a", tmp_path / "b")) == pooling
    assert load_model(tmp_path / "b").config == encoder


def test_what_is_there_is_not_overwritten_and_wrong_names_are_told(tmp_path):
    source = folder_of(made(LLAMA), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/file").write_text("mine")
    for arguments, told in [
        ((source, tmp_path / "b"), "something already"),
        ((source, tmp_path / "c", "ggfu"), "Did you mean 'gguf'"),
        ((source, tmp_path / "c.gguf", None, "q4_K"), "Did you mean 'q4_k'"),
        ((source, tmp_path / "c", "hf", "q4_k"), "weight type of a hf file"),
        ((source, tmp_path / "c.arpa"), "only n-gram models"),
        ((tmp_path / "none.bin", tmp_path / "c"), "not a model"),
    ]:
        with pytest.raises(UserError, match=told):
            convert(*arguments)
    assert (tmp_path / "b/file").read_text() == "mine"
    written = convert(source, tmp_path / "d.gguf")
    assert from_gguf(read_gguf(written).metadata).vocabulary_size == byte_tokenizer().vocabulary_size
