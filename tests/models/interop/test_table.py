"""Name tables translate in both directions; tensors are fused, turned and prefixed as the files have them."""

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.families import FAMILIES, family_for, family_named
from fourfold.models.interop import Family, Fused, Names, from_file, join, split, to_file
from fourfold.models.transformer import Attention, FeedForward, Head, Norm, Rotary, Task, TransformerConfig

CONFIG = TransformerConfig(
    vocabulary_size=10,
    hidden_size=8,
    layers=12,
    context=4,
    attention=Attention(heads=2, bias=True),
    feed_forward=FeedForward(size=8, bias=True),
    head=Head(tied=False),
)


def state_of(config):
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model.state_dict()


@pytest.mark.parametrize("name", ["llama"])
def test_every_parameter_has_a_name_and_comes_back(name):
    family = family_named(name)
    names = family.names(CONFIG)
    for ours in state_of(CONFIG):
        theirs = names.theirs(ours)
        assert theirs is not None, ours
        assert names.ours(theirs) == ours


def test_the_names_are_those_of_the_ecosystem():
    names = family_named("llama").names(CONFIG)
    assert names.theirs("stack.layers.11.attention.query.weight") == "model.layers.11.self_attn.q_proj.weight"
    assert names.theirs("stack.layers.11.attention.query") == "model.layers.11.self_attn.q_proj"
    assert names.ours("model.layers.3.mlp.down_proj.bias") == "stack.layers.3.feed_forward.down.bias"
    assert names.ours("rope_freqs.weight") is None


def test_names_may_hold_experts_numbers_of_their_own_and_whole_parameters():
    names = Names({"a.{i}.experts.{e}.up": "b.{i}.layer.1.w.{e}", "head": "cls.predictions", "head.bias": "final_bias"})
    assert names.theirs("a.3.experts.12.up.weight") == "b.3.layer.1.w.12.weight"
    assert names.ours("b.3.layer.1.w.12.weight") == "a.3.experts.12.up.weight"
    assert names.ours("b.3.layer.0.w.12.weight") is None
    assert (names.theirs("head.bias"), names.theirs("head.weight")) == ("final_bias", "cls.predictions.weight")
    assert names.ours("final_bias") == "head.bias"


def test_a_configuration_finds_its_family():
    found = family_for(CONFIG)
    assert found is not None
    assert found.read_config(found.express(CONFIG)) == CONFIG
    assert family_for(replace(CONFIG, norm=Norm(kind="layer"))) is None
    assert family_for(replace(CONFIG, norm=Norm(place="output"))) is None
    assert family_for(replace(CONFIG, positions=Rotary(share=0.5))) is None


@pytest.mark.parametrize("change", [
    {"attention": Attention(heads=2, kv_heads=2, head_size=4, bias=True, output_bias=True, windows=(None, None))},
    {"norm": Norm(final=True)},
    {"dropout": 0.1},
])  # fmt: skip
def test_another_spelling_of_an_architecture_is_the_same(change):
    found = family_for(replace(CONFIG, **change))
    assert found is not None
    assert found.name == "llama"


def test_another_activation_is_refused():
    llama = family_named("llama")
    with pytest.raises(UserError, match="expected silu, got gelu"):
        llama.read_config(llama.express(CONFIG) | {"hidden_act": "gelu"})


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'llama'"):
        family_named("llama2")


PARTS = ("stack.layers.{i}.attention.query", "stack.layers.{i}.attention.key", "stack.layers.{i}.attention.value")


def fusing(**changes):
    """Llama under other names: one tensor for query, key and value."""
    llama = FAMILIES["llama"]
    modules = {ours: theirs for ours, theirs in llama.modules.items() if ours not in PARTS}
    values = {name: getattr(llama, name) for name in llama.__dataclass_fields__}
    fused = (Fused(name="model.layers.{i}.qkv", parts=PARTS, layout=changes.pop("layout", "concat")),)
    return Family(**{**values, "modules": modules, "fused": fused, **changes})


@pytest.mark.parametrize("layout", ["concat", "per-head", "grouped"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("transposed", [(), ("attention.query", "feed_forward.up")])
def test_fused_and_transposed_tensors_come_back(layout, kv_heads, transposed):
    if layout == "per-head" and kv_heads != 4:
        pytest.skip("as many keys as queries")
    config = replace(CONFIG, layers=2, attention=Attention(heads=4, kv_heads=kv_heads, head_size=4, bias=True))
    state = {name: torch.randn_like(tensor) for name, tensor in state_of(config).items()}
    family = fusing(layout=layout, transposed=transposed)
    written = to_file(family, config, state)
    shape = (4 * (4 + 2 * kv_heads), 8)
    assert written["model.layers.1.qkv.weight"].shape == (shape[::-1] if transposed else shape)
    assert written["model.layers.1.qkv.bias"].shape == shape[:1]
    assert not any("attention.query" in name for name in written)
    again = from_file(family, config, written, state)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_rows_alternate_as_the_layout_says():
    heads = [torch.tensor([10, 11, 20, 21]), torch.tensor([30, 31]), torch.tensor([40, 41])]
    assert join(heads, 1).tolist() == [10, 11, 20, 21, 30, 31, 40, 41]
    assert join(heads, 2).tolist() == [10, 11, 30, 40, 20, 21, 31, 41]
    assert [part.tolist() for part in split(join(heads, 2), [4, 2, 2], 2)] == [part.tolist() for part in heads]


def test_a_fused_tensor_of_another_shape_keeps_its_name():
    state = state_of(CONFIG)
    family = fusing()
    written = to_file(family, CONFIG, state) | {"model.layers.0.qkv.weight": torch.zeros(3, 3)}
    assert "model.layers.0.qkv.weight" in from_file(family, CONFIG, written, state)


def test_plain_rows_are_views_of_the_file():
    state = state_of(CONFIG)
    family = fusing()
    written = to_file(family, CONFIG, state)
    again = from_file(family, CONFIG, written, state)
    whole = written["model.layers.0.qkv.weight"].untyped_storage().data_ptr()
    assert again["stack.layers.0.attention.value.weight"].untyped_storage().data_ptr() == whole


def test_headless_files_have_no_prefix_and_both_spellings_are_read():
    llama = family_named("llama")
    bare = replace(CONFIG, head=None)
    assert llama.express(bare)["architectures"] == ["LlamaModel"]
    assert llama.read_config(llama.express(bare)) == bare
    state = state_of(bare)
    written = to_file(llama, bare, state)
    assert "layers.3.self_attn.q_proj.weight" in written
    prefixed = {f"model.{name}": tensor for name, tensor in written.items()}
    for spelling in (written, prefixed):
        assert from_file(llama, bare, spelling, state).keys() == state.keys()


def test_the_class_name_tells_the_task():
    llama = family_named("llama")
    tagger = replace(CONFIG, head=None, task=Task(kind="token", classes=5))
    keys = llama.express(tagger)
    assert keys["architectures"] == ["LlamaForTokenClassification"]
    assert len(keys["id2label"]) == 5
    assert llama.read_config(keys) == tagger
    assert "model.norm.weight" in to_file(llama, tagger, state_of(tagger))


def test_names_of_old_files_and_rows_of_one_are_read():
    family = fusing(renamed={r"\.gamma$": ".weight"}, one_row=("stack.norm.weight",), ignored=("masked_bias$",))
    state = state_of(CONFIG)
    written = to_file(family, CONFIG, state)
    assert written["model.norm.weight"].shape == (1, 8)
    written["model.layers.0.input_layernorm.gamma"] = written.pop("model.layers.0.input_layernorm.weight")
    written["model.layers.0.attn.masked_bias"] = torch.zeros(1)
    again = from_file(family, CONFIG, written, state)
    assert again.keys() == state.keys()
    assert again["stack.norm.weight"].shape == (8,)
