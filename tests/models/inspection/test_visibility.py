"""What is drawn as seen is what changes a token's output when it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fourfold.models import EncoderDecoder, EncoderDecoderConfig, Step, TransformerConfig, TransformerLM
from fourfold.models.inspection import visible, visible_across
from fourfold.models.transformer import Attention, FeedForward

TOKENS = 8
CONFIG = TransformerConfig(
    vocabulary_size=20,
    hidden_size=8,
    layers=1,
    context=TOKENS,
    attention=Attention(heads=2),
    feed_forward=FeedForward(size=8),
)
IDS = torch.arange(TOKENS)[None] + 1


def influence(hidden: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
    """(T, T) whether changing the token of the column changes the output of the row, with one layer."""
    before = hidden(ids)[0]
    seen = []
    for place in range(ids.shape[1]):
        changed = ids.clone()
        changed[0, place] = 0
        seen.append(((hidden(changed)[0] - before).abs() > 1e-7).any(-1))
    return torch.stack(seen, dim=1)


def made(config: TransformerConfig) -> TransformerLM:
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model.eval()


@pytest.mark.parametrize("name", ["causal", "prefix", "bidirectional", "window", "documents"])
@torch.no_grad()
def test_what_is_drawn_is_what_matters(name: str) -> None:
    prefix = (torch.arange(TOKENS) < 4)[None] if name == "prefix" else None
    documents = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2]]) if name == "documents" else None
    changes = {
        "prefix": {"mask": "prefix"},
        "bidirectional": {"mask": "bidirectional"},
        "window": {"attention": Attention(heads=2, windows=(3,))},
    }
    model = made(replace(CONFIG, **changes.get(name, {})))
    drawn = {
        "causal": lambda: visible("causal", TOKENS),
        "prefix": lambda: visible("prefix", TOKENS, prefix=4),
        "bidirectional": lambda: visible("bidirectional", TOKENS),
        "window": lambda: visible("causal", TOKENS, window=3),
        "documents": lambda: visible("causal", TOKENS, documents=(3, 2, 3)),
    }[name]()
    found = influence(lambda ids: model.hidden(Step(ids=ids, prefix=prefix, documents=documents)), IDS)
    assert torch.equal(drawn, found)


@torch.no_grad()
def test_the_target_sees_the_source_and_its_past() -> None:
    encoder = replace(CONFIG, mask="bidirectional", head=None)
    model = EncoderDecoder(EncoderDecoderConfig(encoder=encoder, decoder=replace(CONFIG, cross_attention=True)))
    model.initialise(torch.Generator().manual_seed(0))
    model.eval()
    source, target = 3, TOKENS - 3

    def both(ids: Tensor) -> Tensor:
        read = model.read(ids[:, :source]).hidden
        return torch.cat([read, model.hidden(Step(ids=ids[:, source:], source=ids[:, :source]))], dim=1)

    assert torch.equal(visible_across(source, target), influence(both, IDS))
