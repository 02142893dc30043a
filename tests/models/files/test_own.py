"""Configurations of our own as JSON: every option comes back, what is not known is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.models.codec import KINDS
from fourfold.models.files.own import read_own, write_own
from fourfold.models.recurrent import RecurrentConfig
from fourfold.models.transformer import (
    ALiBi,
    Attention,
    DynamicNTKScaling,
    Embedding,
    EncoderDecoderConfig,
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
    Relative,
    Rotary,
    Sinusoidal,
    Task,
    TransformerConfig,
    YaRNScaling,
)

HERE = Path("somewhere")
CONFIG = TransformerConfig(
    vocabulary_size=10,
    hidden_size=8,
    layers=2,
    context=4,
    attention=Attention(heads=2),
    feed_forward=FeedForward(size=8),
)
OTHERS = {
    "windows": {"attention": Attention(heads=2, kv_heads=1, windows=(4, None), softcap=50.0, norm="head")},
    "experts": {"feed_forward": FeedForward(size=8, activation="relu", experts=Experts(count=4, shared_size=3))},
    "head": {"head": Head(tied=False, bias=True, transform="gelu", softcap=30.0)},
    "task": {"head": None, "task": Task(kind="token", classes=3)},
    "encoder": {"mask": "bidirectional", "pooler": True, "embedding": Embedding(size=4, norm=True, segments=2)},
    "local": {"local_positions": Rotary(base=1e6, scaling=LinearScaling(factor=8.0))},
    "norm": {"norm": Norm(kind="layer", place="sandwich", bias=False)},
    "start": {"initialisation": Initialisation(kind="mup")},
}
POSITIONS = [Learned(offset=2), Sinusoidal(), Relative(buckets=8), ALiBi(scaled=True), NoPositions(), Rotary(share=0.5)]
SCALINGS = [
    LinearScaling(factor=2.0),
    NTKScaling(factor=2.0),
    DynamicNTKScaling(factor=2.0, original_context=4),
    YaRNScaling(factor=4.0, original_context=4, attention_factor=1.5),
    Llama3Scaling(factor=8.0, original_context=4),
]


def through_json(config):
    return read_own(json.loads(json.dumps(write_own(config))), HERE)


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_every_option_comes_back(change):
    config = replace(CONFIG, **change)
    assert through_json(config) == config


@pytest.mark.parametrize("positions", [*POSITIONS, *(Rotary(scaling=scaling) for scaling in SCALINGS)], ids=str)
def test_every_position_encoding_comes_back(positions):
    config = replace(CONFIG, positions=positions)
    assert through_json(config) == config


def test_every_option_of_several_has_a_name():
    assert {type(option) for option in [*POSITIONS, *SCALINGS]} == set(KINDS.values())


def test_two_stacks_and_recurrent_models_come_back():
    both = EncoderDecoderConfig(
        encoder=replace(CONFIG, mask="bidirectional", head=None),
        decoder=replace(CONFIG, cross_attention=True),
        decoder_start_id=2,
        empty_source=(1, 2),
    )
    recurrent = RecurrentConfig(vocabulary_size=10, hidden_size=8, cell="gru", dropout=0.1)
    assert (through_json(both), through_json(recurrent)) == (both, recurrent)


def test_files_from_before_heads_were_options_are_read():
    keys = write_own(replace(CONFIG, head=Head(tied=False)))
    del keys["head"], keys["mask"], keys["embedding"]
    assert read_own(keys | {"tied_embeddings": False}, HERE) == replace(CONFIG, head=Head(tied=False))
    del keys["positions"]["kind"]
    assert read_own(keys | {"tied_embeddings": True}, HERE) == CONFIG


def test_keys_of_the_ecosystem_may_stand_beside_ours():
    keys = write_own(CONFIG) | {"dtype": "float32", "eos_token_id": 3, "suppressed_ids": [1], "id2label": {"0": "no"}}
    assert read_own(keys, HERE) == CONFIG


@pytest.mark.parametrize(("change", "message"), [
    ({"contxt": 3}, "unknown key of 'configuration' 'contxt'.*'context'"),
    ({"norm": {"kind": "rms", "epsilom": 1e-3}}, "unknown key of 'norm' 'epsilom'.*'epsilon'"),
    ({"positions": {"kind": "rotari"}}, "unknown kind of 'positions' 'rotari'.*'rotary'"),
    ({"positions": {"kind": "yarn", "factor": 2.0}}, "unknown kind of 'positions'"),
    ({"positions": {"kind": "rotary", "scaling": {"kind": "yarn", "factor": 2.0}}}, "'scaling' is incomplete"),
    ({"layers": 2.5}, "'layers' has the wrong type, expected int, got 2.5"),
    ({"layers": True}, "'layers' has the wrong type"),
    ({"mask": "prefixed"}, "unknown value of 'mask' 'prefixed'.*'prefix'"),
    ({"mask": 1}, "'mask' has the wrong type, expected causal or prefix or bidirectional, got 1"),
    ({"attention": 3}, "'attention' has the wrong type"),
    ({"attention": {"heads": 2, "windows": [None, "x"]}}, "'windows' has the wrong type"),
    ({"head": {"tied": 1}}, "'tied' has the wrong type"),
    ({"attention": {"heads": 3}}, "hidden_size does not split over the heads"),
])  # fmt: skip
def test_what_is_not_known_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        read_own(write_own(CONFIG) | change, HERE)
