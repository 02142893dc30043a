"""Attention and the logit lens against the model's own output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, EncoderDecoderConfig, Step, TransformerConfig, TransformerLM, build_model
from fourfold.models.inspection import read, visible
from fourfold.models.transformer import Attention, FeedForward, Head, Learned, Norm

CONFIG = TransformerConfig(
    vocabulary_size=30,
    hidden_size=16,
    layers=3,
    context=12,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=24),
)
IDS = [3, 7, 1, 29, 4]
SHAPES: dict[str, dict[str, Any]] = {
    "causal": {},
    "post": {"norm": Norm(kind="layer", place="post"), "positions": Learned()},
    "capped": {"head": Head(softcap=2.0), "attention": Attention(heads=4, softcap=5.0)},
    "prefix": {"mask": "prefix"},
    "masked": {"mask": "bidirectional", "head": Head(transform="gelu", bias=True)},
}


def made(**changes: Any) -> TransformerLM:
    model = TransformerLM(replace(CONFIG, **changes))
    model.initialise(torch.Generator().manual_seed(1))
    return model.eval()


@pytest.mark.parametrize("name", SHAPES)
def test_the_last_row_of_the_lens_is_the_model(name: str) -> None:
    model = made(**SHAPES[name])
    lens = read(model, IDS).lens
    assert lens is not None
    assert lens.ids.shape == (4, 5)
    prefix = torch.ones(1, 5, dtype=torch.bool) if name == "prefix" else None
    with torch.no_grad():
        probabilities = model.logits(model.hidden(Step(ids=torch.tensor([IDS]), prefix=prefix)))[0].softmax(-1)
    assert torch.equal(lens.ids[-1], probabilities.argmax(-1))
    assert torch.allclose(lens.probabilities[-1], probabilities.max(-1).values, atol=1e-6)
    entropy = torch.special.entr(probabilities).sum(-1)
    assert torch.allclose(lens.entropies[-1], entropy, atol=1e-5)


def test_ranks_are_of_the_token_that_comes() -> None:
    model = made()
    lens = read(model, IDS).lens
    assert lens is not None
    logits, _ = model(torch.tensor([IDS]))
    order = logits[0, 0].argsort(descending=True).tolist()
    assert lens.ranks[-1, 0] == order.index(IDS[1])
    assert lens.ranks[:, -1].tolist() == [-1] * 4
    both = read(made(**SHAPES["masked"]), IDS).lens
    assert both is not None
    assert (both.ranks >= 0).all()


def test_the_first_row_of_the_lens_reads_the_embedding() -> None:
    model = made()
    lens = read(model, IDS).lens
    assert lens is not None
    assert model.stack.norm is not None
    with torch.no_grad():
        said = model.logits(model.stack.norm(model.stack.embedding.weight[IDS]))
    assert torch.equal(lens.ids[0], said.argmax(-1))


@pytest.mark.parametrize("name", SHAPES)
def test_attention_sums_to_one_where_a_token_may_look(name: str) -> None:
    attention = read(made(**SHAPES[name]), IDS).attention
    assert attention.shape == (3, 4, 5, 5)
    assert torch.allclose(attention.sum(-1), torch.ones(3, 4, 5), atol=1e-5)
    kind = made(**SHAPES[name]).config.mask
    seen = visible(kind, 5, prefix=5 if kind == "prefix" else 0)
    assert ((attention > 0) == seen).all()


def test_a_model_without_a_head_has_attention_only() -> None:
    assert read(made(head=None, mask="bidirectional"), IDS).lens is None


def test_of_an_encoder_decoder_the_encoder_is_read() -> None:
    encoder = replace(CONFIG, mask="bidirectional", head=None, layers=2)
    model = EncoderDecoder(EncoderDecoderConfig(encoder=encoder, decoder=replace(CONFIG, cross_attention=True)))
    model.initialise(torch.Generator().manual_seed(0))
    reading = read(model, IDS)
    assert reading.attention.shape == (2, 4, 5, 5)
    assert reading.lens is None


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(UserError, match="fit, expected 1 to 12 tokens, got 13"):
        read(made(), [1] * 13)
    with pytest.raises(UserError, match="fit, expected 1 to 12 tokens, got 0"):
        read(made(), [])
    lstm = build_model({"family": "lstm", "layers": 1, "hidden_size": 8}, 10)
    with pytest.raises(UserError, match="only a transformer has attention to draw"):
        read(lstm, IDS)
