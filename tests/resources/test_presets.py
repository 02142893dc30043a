"""Architecture cards: every one is a configuration that counts what was published, or says why not."""

from __future__ import annotations

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM
from fourfold.models.inspection import count, stacks, tree_of_config
from fourfold.resources import agreement, architectures, find_preset, published_config, published_number
from fourfold.resources.presets import KINDS, _build, merge

REFERENCES = [f"{family}:{size}" for family, card in architectures().items() for size in card.sizes]
SURVEY = {
    # Zhao et al. 2023, the table of model cards: layers, heads, hidden size, context (None: not given there).
    "gpt3:175b": (96, 96, 12288, 2048),
    "pangu-alpha:200b": (64, 128, 16384, 1024),
    "opt:175b": (96, 96, 12288, 2048),
    "palm:540b": (118, 48, 18432, 2048),
    "bloom:176b": (70, 112, 14336, 2048),
    "mt-nlg:530b": (105, 128, 20480, 2048),
    "gopher:280b": (80, 128, 16384, 2048),
    "chinchilla:70b": (80, 64, 8192, None),
    "galactica:120b": (96, 80, 10240, 2048),
    "lamda:137b": (64, 128, 8192, None),
    "jurassic-1:178b": (76, 96, 13824, 2048),
    "llama:65b": (80, 64, 8192, 2048),
    "glm:130b": (70, 96, 12288, 2048),
    "t5:11b": (24, 128, 1024, 512),
}
WANTED = """gpt2:124m gpt2:355m gpt2:774m gpt2:1.5b gpt3:175b opt:175b bloom:176b palm:540b gopher:280b chinchilla:70b
mt-nlg:530b llama:7b llama:13b llama:33b llama:65b llama3:8b llama3:70b mixtral:8x7b glm:130b bert:base bert:large
bart:large t5:11b smollm2:135m"""


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_shape_counts_what_was_published_or_says_why_not(reference: str) -> None:
    preset = find_preset(reference)
    found = agreement(preset)
    assert preset.card.source
    assert found is not None
    assert abs(found.difference) < 0.1
    if found.how == "differs":
        assert preset.card.note or architectures()[preset.family].note, f"{reference} is off by {found.difference:+.1%}"


def test_active_parameters_are_the_published_ones() -> None:
    sparse = {reference: find_preset(reference) for reference in REFERENCES if find_preset(reference).card.active}
    assert set(sparse) == {"mixtral:8x7b", "mixtral:8x22b", "qwen3:30b-a3b", "qwen3:235b-a22b"}
    for preset in sparse.values():
        assert preset.card.active is not None
        published, _ = published_number(preset.card.active)
        assert count(preset.config).active == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("reference", SURVEY)
def test_shapes_are_those_of_the_survey(reference: str) -> None:
    layers, heads, hidden, context = SURVEY[reference]
    stack = stacks(published_config(reference))[-1]
    assert (stack.layers, stack.attention.heads, stack.hidden_size) == (layers, heads, hidden)
    assert context is None or stack.context == context


@pytest.mark.parametrize("reference", WANTED.split())
def test_the_models_of_the_main_job_are_there(reference: str) -> None:
    assert reference in REFERENCES


@pytest.mark.parametrize("reference", [r for r in REFERENCES if count(published_config(r)).total < 1.5e9])
def test_small_presets_are_counted_as_their_module_is_made(reference: str) -> None:
    config = published_config(reference)
    with torch.device("meta"):
        made = TransformerLM(config) if isinstance(config, TransformerConfig) else EncoderDecoder(config)
    assert sum(parameter.numel() for parameter in made.parameters()) == count(config).total


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_preset_can_be_made(reference: str) -> None:
    config = published_config(reference)
    assert tree_of_config(config).parameters == count(config).total


def test_architectures_are_what_they_should_be() -> None:
    assert isinstance(published_config("t5:small"), EncoderDecoderConfig)
    assert stacks(published_config("bert:base"))[0].mask == "bidirectional"
    assert stacks(published_config("glm:130b"))[0].mask == "prefix"
    gemma = stacks(published_config("gemma3:4b"))[0]
    assert [gemma.window(layer) for layer in range(7)] == [1024, 1024, 1024, 1024, 1024, None, 1024]
    assert stacks(published_config("gemma3:1b"))[0].positions != gemma.positions


def test_sizes_have_other_names() -> None:
    assert published_config("gpt2:xl") == published_config("GPT2:1.5b")
    assert published_config("llama:30b") == published_config("llama:33b")


def test_unknown_names_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown size of llama '7bb'. Did you mean '7b'"):
        find_preset("llama:7bb")
    with pytest.raises(UserError, match=r"unknown family 'lama'. Did you mean 'llama'"):
        find_preset("lama:7b")
    with pytest.raises(UserError, match=r"size of gopher is missing, expected gopher:44m, gopher:117m"):
        find_preset("gopher")


def test_names_are_unambiguous() -> None:
    for family, card in architectures().items():
        names = [name for size, one in card.sizes.items() for name in (size, *one.aliases)]
        assert len(set(names)) == len(names), family
        assert all(name == name.lower() for name in [family, *names])


def test_printed_numbers() -> None:
    assert published_number("6.7B") == pytest.approx((6.7e9, 5e7))
    assert published_number("1,065M") == pytest.approx((1.065e9, 5e5))
    assert published_number("134,515,008") == (134_515_008, 0.5)
    with pytest.raises(ValueError, match=r"6\.7B"):
        published_number("about 7B")


def test_tables_merge_by_key_unless_their_kind_changes() -> None:
    base = {"attention": {"bias": True}, "positions": {"kind": "rotary", "share": 0.5}}
    assert merge(base, {"attention": {"heads": 2}}) == {**base, "attention": {"bias": True, "heads": 2}}
    assert merge(base, {"positions": {"kind": "rotary", "base": 1.0}})["positions"]["share"] == 0.5
    assert merge(base, {"positions": {"kind": "learned"}})["positions"] == {"kind": "learned"}


def test_a_misspelt_or_missing_key_of_a_card_is_an_error() -> None:
    with pytest.raises(ValueError, match="layerz"):
        _build(TransformerConfig, {"layerz": 3})
    with pytest.raises(ValueError, match="lacks"):
        _build(TransformerConfig, {"layers": 3})


def test_every_kind_is_an_option() -> None:
    import fourfold.models.transformer as options

    assert all(hasattr(options, name) for name in KINDS.values())
