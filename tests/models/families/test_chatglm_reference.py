"""ChatGLM's forward pass as its papers and the first file of ChatGLM2 describe it, against ours through a file.

The reference is written from the description alone (GLM Team 2024, section 2.1; Du et al. 2022, section 2.1 for the
prefix; Su et al. 2021, eq. 34 for the rotation as complex numbers) and shares no code with the library or with
`transformers`: heads and queries are walked one by one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_chatglm import KEYS
from torch import Tensor

from fourfold.files import write_json
from fourfold.models import Step, TransformerLM
from fourfold.models.files import load_model

HIDDEN, LAYERS, HEADS, GROUPS, SIZE, INNER, VOCABULARY = 32, 3, 4, 2, 8, 48, 99
EPSILON = 1.5625e-07


def random_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / shape[-1] ** 0.5

    rows = (HEADS + 2 * GROUPS) * SIZE
    weights = {
        "transformer.embedding.word_embeddings.weight": normal(VOCABULARY, HIDDEN) * 4,
        "transformer.encoder.final_layernorm.weight": 1 + normal(HIDDEN),
        "transformer.output_layer.weight": normal(VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        place = f"transformer.encoder.layers.{layer}."
        weights |= {
            place + "input_layernorm.weight": 1 + normal(HIDDEN),
            place + "self_attention.query_key_value.weight": 3 * normal(rows, HIDDEN),
            place + "self_attention.query_key_value.bias": normal(rows),
            place + "self_attention.dense.weight": normal(HIDDEN, HEADS * SIZE),
            place + "post_attention_layernorm.weight": 1 + normal(HIDDEN),
            place + "mlp.dense_h_to_4h.weight": normal(2 * INNER, HIDDEN),
            place + "mlp.dense_4h_to_h.weight": normal(HIDDEN, INNER),
        }
    return weights


def reference(weights: dict[str, Tensor], ids: list[int], prefix: int) -> Tensor:
    """(T, V) logits in fp64; every token sees the first `prefix` tokens and its past."""
    w = {name.removeprefix("transformer."): tensor.double() for name, tensor in weights.items()}
    x = torch.stack([w["embedding.word_embeddings.weight"][token] for token in ids])
    for layer in range(LAYERS):
        part = {
            name.removeprefix(f"encoder.layers.{layer}."): tensor
            for name, tensor in w.items()
            if name.startswith(f"encoder.layers.{layer}.")
        }
        x = x + attend(part, rms(x, part["input_layernorm.weight"]), prefix)
        inner = rms(x, part["post_attention_layernorm.weight"]) @ part["mlp.dense_h_to_4h.weight"].T
        gate, up = inner[:, :INNER], inner[:, INNER:]
        x = x + (gate / (1 + torch.exp(-gate)) * up) @ part["mlp.dense_4h_to_h.weight"].T
    return rms(x, w["encoder.final_layernorm.weight"]) @ w["output_layer.weight"].T


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + EPSILON).sqrt() * weight


def attend(part: dict[str, Tensor], x: Tensor, prefix: int) -> Tensor:
    rows = x @ part["self_attention.query_key_value.weight"].T + part["self_attention.query_key_value.bias"]
    query, key, value = rows.split([HEADS * SIZE, GROUPS * SIZE, GROUPS * SIZE], dim=1)
    mixed = torch.zeros(len(x), HEADS * SIZE, dtype=torch.float64)
    for head in range(HEADS):
        group = head // (HEADS // GROUPS)
        own, shared = slice(head * SIZE, (head + 1) * SIZE), slice(group * SIZE, (group + 1) * SIZE)
        keys = torch.stack([turn(key[place, shared], place) for place in range(len(x))])
        for place in range(len(x)):
            seen = [other for other in range(len(x)) if other <= place or other < prefix]
            scores = keys[seen] @ turn(query[place, own], place) / SIZE**0.5
            odds = torch.exp(scores - scores.max())
            mixed[place, own] = (odds / odds.sum()) @ value[seen][:, shared]
    return mixed @ part["self_attention.dense.weight"].T


def turn(head: Tensor, place: int) -> Tensor:
    """The first half of a head as complex numbers of neighbours, each turned by its own angle."""
    half = SIZE // 2
    turned = head.clone()
    for pair in range(half // 2):
        angle = place * 10_000.0 ** (-2 * pair / half)
        number = complex(head[2 * pair], head[2 * pair + 1]) * torch.exp(torch.tensor(1j * angle)).item()
        turned[2 * pair], turned[2 * pair + 1] = number.real, number.imag
    return turned


@pytest.mark.parametrize("prefix", [0, 5])
def test_chatglm_computes_what_its_description_says(tmp_path: Path, prefix: int) -> None:
    weights = random_weights()
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    write_json(tmp_path / "config.json", KEYS)
    model = load_model(tmp_path)
    ids = [3, 14, 15, 92, 65, 35, 89, 79, 32]
    step = Step(ids=torch.tensor([ids]))
    if prefix:
        causal, model = model, TransformerLM(replace(model.config, mask="prefix"))
        model.load_state_dict(causal.state_dict())
        step = replace(step, prefix=torch.arange(len(ids))[None] < prefix)
    with torch.no_grad():
        found = model.logits(model.hidden(step))[0]
    wanted = reference(weights, ids, prefix)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()
