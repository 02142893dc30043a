"""Every architecture we write to GGUF, run by llama.cpp beside our own module: distributions at every position."""

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.files import load_gguf, read_gguf, save_gguf
from fourfold.models.transformer import (
    ALiBi,
    Attention,
    DynamicNTKScaling,
    Embedding,
    Experts,
    FeedForward,
    Head,
    Learned,
    LinearScaling,
    Llama3Scaling,
    Norm,
    NTKScaling,
    Rotary,
    TransformerConfig,
    YaRNScaling,
)
from fourfold.tokenizers import byte_tokenizer

IDS = torch.randint(256, (60,), generator=torch.Generator().manual_seed(4)).tolist()
LLAMA = TransformerConfig(
    vocabulary_size=260,
    hidden_size=64,
    layers=3,
    context=64,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=96),
    positions=Rotary(base=5000.0),
)
GELU = FeedForward(size=96, activation="gelu-tanh", gated=False, bias=True)
GEMMA = replace(
    LLAMA,
    attention=Attention(heads=4, kv_heads=1, head_size=32),
    feed_forward=FeedForward(size=96, activation="gelu-tanh"),
    norm=Norm(epsilon=1e-6, offset=1.0),
    embedding=Embedding(scale=8.0),
)
SANDWICH = Norm(epsilon=1e-6, offset=1.0, place="sandwich")
GEMMA2 = replace(
    GEMMA,
    norm=SANDWICH,
    layers=4,
    attention=Attention(heads=4, kv_heads=2, head_size=32, windows=(8, None), softcap=5.0, scale=32**-0.5),
    head=Head(softcap=3.0),
)
GEMMA3 = replace(
    GEMMA2,
    layers=7,
    attention=Attention(heads=4, kv_heads=1, head_size=32, norm="head", windows=(8, 8, 8, 8, 8, None)),
    head=Head(),
    positions=Rotary(base=1e6),
    local_positions=Rotary(),
)
GPT2 = replace(
    LLAMA, attention=Attention(heads=4, bias=True), feed_forward=GELU, norm=Norm(kind="layer"), positions=Learned()
)
PHI = replace(
    GPT2,
    positions=Rotary(share=0.5),
    residual="parallel-one-norm",
    head=Head(tied=False, bias=True),
)
QWEN2 = replace(LLAMA, attention=Attention(heads=4, kv_heads=2, bias=True, output_bias=False))
LONG = replace(LLAMA, positions=Rotary(base=5000.0, scaling=Llama3Scaling(factor=8.0, original_context=16)))
BIASED = replace(LLAMA, attention=Attention(heads=4, bias=True), feed_forward=FeedForward(size=96, bias=True))
CONFIGS = {
    "llama": ("llama", LLAMA),
    "llama untied": ("llama", replace(LLAMA, head=Head(tied=False))),
    "llama with biases": ("llama", BIASED),
    "llama 3.1": ("llama", LONG),
    "llama, linear": ("llama", replace(LLAMA, positions=Rotary(scaling=LinearScaling(factor=4.0)))),
    "llama, ntk": ("llama", replace(LLAMA, positions=Rotary(scaling=NTKScaling(factor=4.0)))),
    "llama, yarn": ("llama", replace(LLAMA, positions=Rotary(scaling=YaRNScaling(factor=4.0, original_context=16)))),
    "llama, yarn with temperature": (
        "llama",
        replace(LLAMA, positions=Rotary(scaling=YaRNScaling(factor=4.0, original_context=16, attention_factor=0.7))),
    ),
    "qwen2": ("qwen2", QWEN2),
    "qwen3": ("qwen3", replace(LLAMA, attention=Attention(heads=4, kv_heads=2, head_size=32, norm="head"))),
    "gemma": ("gemma", GEMMA),
    "gemma2": ("gemma2", GEMMA2),
    "gemma3": ("gemma3", GEMMA3),
    "gemma3, linear": ("gemma3", replace(GEMMA3, positions=Rotary(base=1e6, scaling=LinearScaling(factor=8.0)))),
    "gpt2": ("gpt2", GPT2),
    "gpt2 untied": ("gpt2", replace(GPT2, head=Head(tied=False))),
    "phi2": ("phi2", PHI),
}  # fmt: skip


def made(config):
    model = TransformerLM(config)
    generator = torch.Generator().manual_seed(3)
    model.initialise(generator)
    for parameter in model.parameters():  # biases and norms too, far from where they start
        parameter.data.mul_(4 if parameter.dim() > 1 else 1).add_(
            torch.randn(parameter.shape, generator=generator) * 0.1
        )
    return model.eval()


@pytest.mark.parametrize("case", CONFIGS)
def test_llama_cpp_computes_the_same(case, peer, tmp_path):
    architecture, config = CONFIGS[case]
    model, path = made(config), tmp_path / "x.gguf"
    save_gguf(model, byte_tokenizer(), path, "f32")
    assert read_gguf(path).architecture == architecture
    theirs = peer.LlamaCpp(path, context=64)
    agreed = peer.compare(model, theirs, IDS)
    theirs.close()
    assert agreed.mean_kl < 1e-5
    assert agreed.largest_kl < 1e-4


@pytest.mark.parametrize("case", CONFIGS)
def test_f32_comes_back_exactly(case, tmp_path):
    _, config = CONFIGS[case]
    model, path = made(config), tmp_path / "x.gguf"
    save_gguf(model, byte_tokenizer(), path, "f32")
    again, _ = load_gguf(path)
    with torch.no_grad():
        ids = torch.tensor([IDS])
        torch.testing.assert_close(again(ids)[0], model(ids)[0], rtol=1e-5, atol=1e-5)
    for (name, ours), back in zip(model.named_parameters(), again.parameters(), strict=True):
        # A norm with an offset is stored as their sum.
        assert torch.allclose(ours, back, atol=1e-6 if config.norm.offset else 0, rtol=0), name


def test_llama_3_scaling_is_found_in_its_factors(tmp_path):
    for scaling in (
        Llama3Scaling(factor=8.0, original_context=8192),
        Llama3Scaling(factor=32.0, original_context=8192),
        Llama3Scaling(factor=8.0, original_context=10_000, high_frequency_factor=6.0),
    ):
        wide = replace(LLAMA, attention=Attention(heads=4, head_size=128), positions=Rotary(base=5e5, scaling=scaling))
        save_gguf(made(wide), byte_tokenizer(), tmp_path / "x.gguf", "f16")
        assert load_gguf(tmp_path / "x.gguf")[0].config.positions.scaling == scaling


@pytest.mark.parametrize(
    "change",
    [
        {"norm": Norm(kind="layer")},
        {"norm": Norm(place="post")},
        {"positions": ALiBi()},
        {"positions": Rotary(interleaved=True)},
        {"positions": Rotary(scaling=DynamicNTKScaling(factor=2.0, original_context=32))},
        {"mask": "bidirectional"},
        {"mask": "prefix"},
        {"residual": "parallel"},
        {"feed_forward": FeedForward(size=96, activation="relu")},
        {"feed_forward": FeedForward(size=96, experts=Experts(count=4))},
        {"attention": Attention(heads=4, windows=(8,))},
        {"attention": Attention(heads=4, scale=1.0)},
        {"attention": Attention(heads=4, norm="full")},
        {"head": Head(softcap=3.0)},
        {"embedding": Embedding(scale=8.0)},
    ],
)
def test_what_llama_cpp_cannot_compute_is_refused(change, tmp_path):
    with pytest.raises(UserError, match="no architecture for this model"):
        save_gguf(TransformerLM(replace(LLAMA, **change)), byte_tokenizer(), tmp_path / "x.gguf")
