"""Configurations in words: the rows of the survey's table of configurations."""

from __future__ import annotations

import pytest

from fourfold.models.inspection import in_words
from fourfold.resources import published_config

ROWS = {
    # Zhao et al. 2023, the table of model cards: norm and its place, positions, activation, bias.
    "gpt3:175b": ("pre LayerNorm", "learned", "GELU", "everywhere"),
    "palm:540b": ("pre LayerNorm", "rotary", "SwiGLU", "none"),
    "bloom:176b": ("pre LayerNorm", "ALiBi", "GELU", "everywhere"),
    "gopher:280b": ("pre RMSNorm", "relative", "GELU", "none"),
    "llama:65b": ("pre RMSNorm", "rotary", "SwiGLU", "none"),
    "glm:130b": ("DeepNorm", "rotary", "GeGLU", "everywhere"),
    "t5:11b": ("pre RMSNorm", "relative", "ReLU", "none"),
    "opt:175b": ("pre LayerNorm", "learned", "ReLU", "everywhere"),
    "galactica:120b": ("pre LayerNorm", "learned", "GELU", "none"),
}


@pytest.mark.parametrize("reference", ROWS)
def test_words_are_those_of_the_survey(reference: str) -> None:
    words = in_words(published_config(reference))
    norm, positions, activation, biases = ROWS[reference]
    assert words["norm"].startswith(norm)
    assert words["positions"].startswith(positions)
    assert words["feed-forward"].startswith(activation)
    assert words["biases"] == biases


def test_architectures_have_their_names() -> None:
    names = {"gpt2:124m": "causal decoder", "glm:130b": "prefix decoder", "bert:base": "encoder",
             "bart:base": "encoder-decoder"}  # fmt: skip
    assert {name: in_words(published_config(name))["architecture"] for name in names} == names


def test_finer_options_are_told() -> None:
    gemma = in_words(published_config("gemma2:9b"))
    assert gemma["attention"] == "grouped-query (8), 16 heads of 256, windows 4,096, all, scores capped at 50"
    assert "2 of 8 experts" in in_words(published_config("mixtral:8x7b"))["feed-forward"]
    assert in_words(published_config("falcon:7b"))["norm"].endswith("parallel branches with one norm")
    assert in_words(published_config("gemma3:4b"))["positions"] == (
        "rotary, base 1,000,000, scaled by 8; in windows rotary, base 10,000"
    )
    assert in_words(published_config("pythia:70m"))["positions"] == "rotary, base 10,000 on 25% of a head"
    assert in_words(published_config("qwen2:7b"))["biases"] == "query, key and value"
