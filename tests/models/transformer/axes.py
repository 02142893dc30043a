"""The axes of the survey's architecture chapter as a table of changes to one small model.

`test_axes.py` runs every entry forward, backward, cached, packed and padded; docs/axes.md is made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from fourfold.models import TransformerConfig
from fourfold.models.transformer import (
    ALiBi,
    Attention,
    DynamicNTKScaling,
    Embedding,
    Experts,
    FeedForward,
    Head,
    Initialisation,
    Learned,
    LinearScaling,
    Llama3Scaling,
    NoPositions,
    Norm,
    NTKScaling,
    Positions,
    Relative,
    Rotary,
    RotaryScaling,
    Sinusoidal,
    Task,
    YaRNScaling,
    mup,
)

BASE = TransformerConfig(
    vocabulary_size=50,
    hidden_size=32,
    layers=3,
    context=64,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=48),
)

Change = Callable[[TransformerConfig], TransformerConfig]


class Axis(NamedTuple):
    """One value of one axis."""

    axis: str
    value: str
    change: Change
    source: str = ""
    """The paper, or a model that has it."""


def positions(value: Positions) -> Change:
    return lambda config: replace(config, positions=value)


def scaled(value: RotaryScaling) -> Change:
    return lambda config: replace(config, positions=Rotary(scaling=value))


def norm(**options: object) -> Change:
    return lambda config: replace(config, norm=Norm(**options))


def attention(**options: object) -> Change:
    return lambda config: replace(config, attention=replace(config.attention, **options))


def forward(**options: object) -> Change:
    return lambda config: replace(config, feed_forward=replace(config.feed_forward, **options))


def whole(**options: object) -> Change:
    return lambda config: replace(config, **options)


def start(kind: str) -> Change:
    return lambda config: replace(config, initialisation=Initialisation(kind=kind))


AXES = (
    Axis("architecture", "causal decoder", whole(), "Radford et al. 2018"),
    Axis("architecture", "prefix decoder", whole(mask="prefix"), "Dong et al. 2019"),
    Axis("architecture", "encoder", whole(mask="bidirectional"), "Devlin et al. 2019"),
    Axis("norm", "LayerNorm", norm(kind="layer"), "Ba et al. 2016"),
    Axis("norm", "LayerNorm without bias", norm(kind="layer", bias=False), "PaLM"),
    Axis("norm", "RMSNorm", norm(kind="rms"), "Zhang & Sennrich 2019"),
    Axis("norm", "RMSNorm, weight stored less one", norm(kind="rms", offset=1.0), "Gemma"),
    Axis("norm place", "pre", norm(place="pre"), "Xiong et al. 2020"),
    Axis("norm place", "post", norm(place="post"), "Vaswani et al. 2017"),
    Axis("norm place", "sandwich", norm(place="sandwich"), "Ding et al. 2021"),
    Axis("norm place", "output", norm(place="output"), "OLMo 2"),
    Axis("norm place", "DeepNorm", lambda c: start("deep")(norm(place="deep")(c)), "Wang et al. 2022"),
    Axis("query and key norm", "each head", attention(norm="head"), "Qwen 3"),
    Axis("query and key norm", "all heads together", attention(norm="full"), "OLMo 2"),
    Axis("positions", "learned", positions(Learned()), "Radford et al. 2018"),
    Axis("positions", "learned, table with an offset", positions(Learned(offset=2)), "OPT"),
    Axis("positions", "sinusoidal", positions(Sinusoidal()), "Vaswani et al. 2017"),
    Axis("positions", "relative buckets", positions(Relative()), "Raffel et al. 2020"),
    Axis("positions", "rotary", positions(Rotary()), "Su et al. 2021"),
    Axis("positions", "rotary, part of a head", positions(Rotary(share=0.5)), "GPT-NeoX"),
    Axis("positions", "rotary, neighbouring pairs", positions(Rotary(interleaved=True)), "GPT-J, GLM"),
    Axis("positions", "ALiBi", positions(ALiBi()), "Press et al. 2022"),
    Axis("positions", "ALiBi, scaled with the scores", positions(ALiBi(scaled=True)), "Falcon-RW"),
    Axis("positions", "none", positions(NoPositions()), "Haviv et al. 2022"),
    Axis("rotary scaling", "linear interpolation", scaled(LinearScaling(factor=2)), "Chen et al. 2023"),
    Axis("rotary scaling", "NTK", scaled(NTKScaling(factor=2)), "bloc97 2023"),
    Axis("rotary scaling", "dynamic NTK", scaled(DynamicNTKScaling(factor=2, original_context=32)), "emozilla 2023"),
    Axis("rotary scaling", "YaRN", scaled(YaRNScaling(factor=4, original_context=16)), "Peng et al. 2023"),
    Axis("rotary scaling", "Llama 3", scaled(Llama3Scaling(factor=8, original_context=16)), "Llama 3.1"),
    Axis("attention", "multi-head", attention(kv_heads=None), "Vaswani et al. 2017"),
    Axis("attention", "multi-query", attention(kv_heads=1), "Shazeer 2019"),
    Axis("attention", "grouped-query", attention(kv_heads=2), "Ainslie et al. 2023"),
    Axis("attention", "sliding window", attention(windows=(4,)), "Mistral 7B"),
    Axis("attention", "alternating local and global", attention(windows=(4, None)), "Gemma 2"),
    Axis(
        "attention",
        "local layers with positions of their own",
        lambda c: replace(attention(windows=(4, None))(c), local_positions=Rotary(base=100.0)),
        "Gemma 3",
    ),
    Axis("attention", "soft-capped scores", attention(softcap=5.0), "Gemma 2"),
    Axis("attention", "scale of its own", attention(scale=1.0), "T5"),
    Axis("attention", "head size of its own", attention(head_size=16), "Gemma"),
    *(
        Axis("feed-forward", f"{name}, {'gated' if gated else 'plain'}", forward(activation=name, gated=gated), source)
        for gated, source in ((False, "Vaswani et al. 2017"), (True, "Shazeer 2020"))
        for name in ("relu", "gelu", "gelu-tanh", "silu")
    ),
    Axis("feed-forward", "experts, top 2", forward(experts=Experts(count=4)), "Mixtral"),
    Axis("feed-forward", "experts, top 1", forward(experts=Experts(count=4, active=1, renormalise=False)), "Switch"),
    Axis("feed-forward", "experts and a shared one", forward(experts=Experts(count=4, shared_size=16)), "DeepSeekMoE"),
    Axis("residual", "parallel", whole(residual="parallel"), "GPT-NeoX"),
    Axis("residual", "parallel behind one norm", whole(residual="parallel-one-norm"), "GPT-J"),
    Axis("biases", "everywhere", lambda c: forward(bias=True)(attention(bias=True)(c)), "GPT-2"),
    Axis("biases", "queries, keys, values", attention(bias=True, output_bias=False), "Qwen 2"),
    Axis("embedding", "scaled", whole(embedding=Embedding(scale=32**0.5)), "Gemma"),
    Axis("embedding", "normed", whole(embedding=Embedding(norm=True)), "BLOOM"),
    Axis("embedding", "narrow, projected", whole(embedding=Embedding(size=16)), "OPT-350M"),
    Axis("embedding", "segments", whole(embedding=Embedding(norm=True, segments=2)), "Devlin et al. 2019"),
    Axis("head", "untied", whole(head=Head(tied=False)), "LLaMA"),
    Axis("head", "bias", whole(head=Head(tied=False, bias=True)), "Phi"),
    Axis("head", "transformed", whole(head=Head(transform="gelu", bias=True)), "Devlin et al. 2019"),
    Axis("head", "soft-capped logits", whole(head=Head(softcap=3.0)), "Gemma 2"),
    Axis("classifier", "sequence", whole(task=Task(kind="sequence", classes=3)), "Radford et al. 2018"),
    Axis(
        "classifier",
        "pooled first token",
        whole(mask="bidirectional", pooler=True, task=Task(kind="sequence", classes=3)),
        "Devlin et al. 2019",
    ),
    Axis("classifier", "token", whole(task=Task(kind="token", classes=3, transform="gelu")), "ELECTRA"),
    Axis("initialisation", "GPT-2", start("gpt2"), "Radford et al. 2019"),
    Axis("initialisation", "scaled", start("scaled"), "Nguyen & Salazar 2019"),
    Axis("initialisation", "T5", start("t5"), "Raffel et al. 2020"),
    Axis("initialisation", "muP", lambda c: mup(c, 16), "Yang et al. 2022"),
)
