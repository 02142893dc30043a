"""Branches of unequal length behind pasts of unequal length, read in one call."""

import pytest
import torch

from fourfold.inference.scoring import Span, score_spans
from fourfold.inference.sharing import score_shared
from fourfold.models import build_model


def test_a_short_branch_behind_a_long_past_has_room_for_the_padding_of_a_longer_one():
    model = build_model({"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "context": 512}, 500, seed=1)
    long, short = list(range(200)), list(range(200, 210))
    spans = [Span(ids=[*long, 1 + choice, 0], start=200) for choice in range(3)]
    spans += [Span(ids=[*short, *[1 + choice] * 60], start=10) for choice in range(3)]
    shared = score_shared(model.eval(), spans, torch.device("cpu"))
    alone = score_spans(model, spans, torch.device("cpu"))
    for one, other in zip(shared, alone, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)
