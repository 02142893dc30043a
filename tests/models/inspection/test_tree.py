"""The tree of modules: every parameter once, equal layers told once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fourfold.kernels import pack
from fourfold.models import TransformerConfig, TransformerLM, make_module, model_config
from fourfold.models.inspection import count, rows, tree_of, tree_of_config
from fourfold.models.linear import hold
from fourfold.models.packed import Packed
from fourfold.models.transformer import Attention, Experts, FeedForward, Head, Learned
from fourfold.resources import published_config

CONFIG = TransformerConfig(
    vocabulary_size=50,
    hidden_size=16,
    layers=4,
    context=20,
    attention=Attention(heads=4, kv_heads=2, bias=True),
    feed_forward=FeedForward(size=24),
    positions=Learned(),
)


def test_equal_layers_are_one_node() -> None:
    found = {row.path: row for row in rows(tree_of(TransformerLM(CONFIG)))}
    assert found["stack.layers.0–3"].times == 4
    query = found["stack.layers.0–3.attention.query"]
    assert query.shapes == {"weight": (16, 16), "bias": (16,)}
    assert (query.parameters, query.dtype, query.kind) == (16 * 16 + 16, "float32", "Linear")
    layer = sum(row.parameters for path, row in found.items() if path.rpartition(".")[0] == "stack.layers.0–3")
    assert found["stack.layers.0–3"].parameters == 4 * layer


def test_a_layer_that_differs_is_told_apart() -> None:
    model = TransformerLM(CONFIG)
    model.stack.layers[1].half()
    names = [row.path for row in rows(tree_of(model)) if row.kind == "Block"]
    assert names == ["stack.layers.0", "stack.layers.1", "stack.layers.2–3"]


def test_shared_weights_are_counted_once() -> None:
    config = published_config("t5:small")
    tree = tree_of_config(config)
    assert tree.parameters == count(config).total
    shared = [row for row in rows(tree) if row.path == "decoder.embedding"]
    assert [row.parameters for row in shared] == [0]


def test_packed_weights_are_counted_with_their_bits() -> None:
    model = TransformerLM(CONFIG)
    model.initialise(torch.Generator().manual_seed(0))
    before = tree_of(model)
    layers = model.stack.layers
    for layer in layers:
        hold(layer, "attention.query", Packed(pack(torch.ones(16, 16, dtype=torch.uint8), torch.ones(16, 1))))
    hold(model, "stack.embedding", Packed(pack(torch.ones(50, 16, dtype=torch.int8), torch.ones(50, 1))))
    tree = tree_of(model)
    assert tree.parameters == before.parameters == count(CONFIG).total
    found = {row.path: row for row in rows(tree)}
    query = found["stack.layers.0–3.attention.query"]
    assert (query.shapes, query.dtype) == ({"weight": (16, 16), "bias": (16,)}, "4 bits, float32")
    assert (found["stack.embedding"].dtype, found["stack.embedding"].parameters) == ("8 bits", 800)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, head=Head(tied=False), feed_forward=FeedForward(size=8, experts=Experts(count=3, active=1))),
        replace(CONFIG, layers=1),
        model_config({"family": "lstm", "layers": 2, "hidden_size": 8}, 10),
    ],
)
def test_the_tree_of_a_configuration_is_that_of_its_module(config: TransformerConfig) -> None:
    def shapes(tree: object) -> list[object]:
        return [(row.path, row.times, row.shapes, row.parameters) for row in rows(tree)]

    assert shapes(tree_of_config(config)) == shapes(tree_of(make_module(config)))


def test_a_hundred_layers_cost_no_more_than_one() -> None:
    assert tree_of_config(published_config("palm:540b")).parameters == count(published_config("palm:540b")).total
