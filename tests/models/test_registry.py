"""`model` tables: families, sizes, and one axis changed at a time."""

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, Step, TransformerLM, build_model, model_config, parameter_count
from fourfold.models.transformer import (
    ALiBi,
    EncoderDecoderConfig,
    Experts,
    Initialisation,
    Rotary,
    Task,
    TransformerConfig,
    YaRNScaling,
)

SMALL = {"layers": 2, "hidden_size": 32, "heads": 4, "context": 32}
CHANGES = {
    "norm": "layer",
    "norm_place": "sandwich",
    "positions": "sinusoidal",
    "query_key_norm": "head",
    "attention_softcap": 50.0,
    "windows": [8, 0],
    "activation": "relu",
    "gated": False,
    "experts": {"count": 4, "active": 1, "shared_size": 8},
    "bias": True,
    "embedding_size": 16,
    "embedding_scale": 5.5,
    "embedding_norm": True,
    "segments": 2,
    "logit_softcap": 30.0,
    "task": {"kind": "token", "classes": 3},
    "mask": "prefix",
    "residual": "parallel",
    "initialisation": "scaled",
}
IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])


def config_of(family="llama", **axes):
    return model_config({"family": family, **SMALL, **axes}, 50)


@pytest.mark.parametrize("axis", CHANGES)
def test_every_axis_of_llama_changes_and_runs(axis):
    table = {"family": "llama", **SMALL, axis: CHANGES[axis]}
    assert model_config(table, 50) != config_of()
    model = build_model(table, 50)
    assert isinstance(model, TransformerLM)
    assert model.logits(model.hidden(Step(ids=IDS))).isfinite().all()


def test_values_are_the_options():
    yarn = {"kind": "rotary", "base": 1e6, "scaling": {"kind": "yarn", "factor": 4.0, "original_context": 8}}
    config = config_of(
        positions=yarn, experts=8, windows=8, initialisation="mup", task={"kind": "sequence", "classes": 2}
    )
    assert isinstance(config, TransformerConfig)
    assert config.positions == Rotary(base=1e6, scaling=YaRNScaling(factor=4.0, original_context=8))
    assert config.feed_forward.experts == Experts(count=8)
    assert config.attention.windows == (8,)
    assert config.initialisation == Initialisation(kind="mup")
    assert config.task == Task(kind="sequence", classes=2)
    assert config_of(positions="alibi").positions == ALiBi()


def test_only_the_combination_must_make_sense():
    assert config_of("bert", residual="parallel", norm_place="pre").residual == "parallel"
    with pytest.raises(UserError, match="parallel branches"):
        config_of("bert", residual="parallel")


def test_the_feed_forward_keeps_its_weight_when_the_gate_goes():
    gated, plain = (parameter_count({"family": "llama", **SMALL, "gated": gated}, 50) for gated in (True, False))
    assert abs(gated / plain - 1) < 0.1
    assert config_of(gated=False, feed_forward_size=7).feed_forward.size == 7


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_axes_change_both_stacks(family):
    config = config_of(family, positions="rotary", logit_softcap=9.0, decoder_start_id=2, empty_source=[0, 2])
    assert isinstance(config, EncoderDecoderConfig)
    assert config.encoder.positions == config.decoder.positions == Rotary()
    assert (config.decoder.head.softcap, config.encoder.head) == (9.0, None)
    assert (config.decoder_start_id, config.empty_source) == (2, (0, 2))
    model = build_model({"family": family, **SMALL}, 50)
    assert isinstance(model, EncoderDecoder)
    assert model.logits(model.hidden(Step(ids=IDS, source=IDS))).isfinite().all()


@pytest.mark.parametrize(("family", "axes", "message"), [
    ("lama", {}, "Did you mean 'llama'"),
    ("llama", {"norm_plase": "post"}, "Did you mean 'norm_place'"),
    ("llama", {"norm_place": "posst"}, "unknown value of 'norm_place' 'posst'. Did you mean 'post'"),
    ("llama", {"positions": "alibie"}, "unknown kind of 'positions' 'alibie'. Did you mean 'alibi'"),
    ("llama", {"positions": {"kind": "rotary", "bas": 1}}, "Did you mean 'base'"),
    ("llama", {"gated": "yes"}, "'gated' has the wrong type"),
    ("llama", {"windows": ["far"]}, "'windows' has the wrong type"),
    ("llama", {"experts": {"count": 4, "active": 5}}, "active experts are out of range"),
    ("llama", {"layers": True}, "'layers' has the wrong type"),
    ("t5", {"mask": "causal"}, "the encoder must be bidirectional"),
    ("lstm", {"norm": "rms"}, "family 'lstm' has no such option, got norm"),
])  # fmt: skip
def test_senseless_tables_are_refused(family, axes, message):
    with pytest.raises(UserError, match=message):
        config_of(family, **axes)
