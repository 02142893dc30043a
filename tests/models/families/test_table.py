"""Name tables translate in both directions and cover every parameter."""

import pytest

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.families import FAMILIES, family_for, family_named
from fourfold.models.transformer import Attention, FeedForward, Norm, TransformerConfig

CONFIG = TransformerConfig(
    vocabulary_size=10,
    hidden_size=8,
    layers=12,
    context=4,
    attention=Attention(heads=2, bias=True),
    feed_forward=FeedForward(size=8, bias=True),
    tied_embeddings=False,
)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
@pytest.mark.parametrize("table", ["hugging_face", "gguf"])
def test_every_parameter_has_a_name_and_comes_back(family, table):
    names = getattr(family, table)
    for ours in TransformerLM(CONFIG).state_dict():
        theirs = names.theirs(ours)
        assert theirs is not None, ours
        assert names.ours(theirs) == ours


def test_the_names_are_those_of_the_ecosystem():
    llama = family_named("llama")
    assert (
        llama.hugging_face.theirs("stack.layers.11.attention.query.weight") == "model.layers.11.self_attn.q_proj.weight"
    )
    assert llama.hugging_face.theirs("stack.layers.11.attention.query") == "model.layers.11.self_attn.q_proj"
    assert llama.gguf.ours("blk.3.ffn_down.bias") == "stack.layers.3.feed_forward.down.bias"
    assert llama.gguf.ours("rope_freqs.weight") is None


def test_a_configuration_finds_its_family():
    found = family_for(CONFIG)
    assert found is not None
    assert found.read_config(found.write_config(CONFIG)) == CONFIG
    layer_norm = TransformerConfig(**{**vars(CONFIG), "norm": Norm(kind="layer")})
    assert family_for(layer_norm) is None


def test_another_activation_is_refused():
    llama = family_named("llama")
    with pytest.raises(UserError, match="expected silu, got gelu"):
        llama.read_config(llama.write_config(CONFIG) | {"hidden_act": "gelu"})


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'llama'"):
        family_named("llama2")
