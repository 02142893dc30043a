"""More rows: the old logits stay as they were, and a new token begins as the mean of its pieces."""

from __future__ import annotations

import pytest
import torch

from fourfold.models import Step, build_model, widen_vocabulary

TABLES = {
    "llama": {"family": "llama"},
    "untied": {"family": "llama", "tied_embeddings": False},
    "gpt2": {"family": "gpt2"},
    "bert": {"family": "bert"},
    "lstm": {"family": "lstm"},
}
OLD = 32
PIECES = {32: [3, 4], 33: [3, 4, 5]}


@pytest.mark.parametrize("name", TABLES)
def test_old_tokens_keep_their_logits_and_new_ones_are_means(name: str) -> None:
    sizes = {"layers": 2, "hidden_size": 32}  # as wide as the vocabulary, which must not be mixed up
    more = {} if name == "lstm" else {"heads": 2, "context": 32}
    old = build_model({**TABLES[name], **sizes, **more}, OLD, seed=0).eval()
    new = widen_vocabulary(old, PIECES).eval()
    assert new.vocabulary_size == 34
    ids = torch.arange(12)[None]
    with torch.no_grad():
        before, after = (model.logits(model.hidden(Step(ids=ids))) for model in (old, new))
        embedded = new.hidden(Step(ids=torch.tensor([[32]])))
    torch.testing.assert_close(after[..., :OLD], before)
    torch.testing.assert_close(after[..., 32], before[..., [3, 4]].mean(-1))
    torch.testing.assert_close(after[..., 33], before[..., [3, 4, 5]].mean(-1))
    assert embedded.isfinite().all()
    table = next(value for key, value in new.state_dict().items() if key.endswith("embedding.weight"))
    torch.testing.assert_close(table[33], table[[3, 4, 5]].mean(0))


def test_rows_that_were_spare_are_used() -> None:
    """Published tables are often longer than their tokenizer; new tokens then take the rows that are there."""
    old = build_model({"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": 16}, 64, seed=0)
    new = widen_vocabulary(old, {60: [1, 2]})
    assert new.vocabulary_size == 64
    rows = new.state_dict()["stack.embedding.weight"]
    torch.testing.assert_close(rows[60], rows[[1, 2]].mean(0))
    assert torch.equal(rows[:60], old.state_dict()["stack.embedding.weight"][:60])


def test_weights_become_fp32() -> None:
    old = build_model({"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": 16}, 64, seed=0)
    new = widen_vocabulary(old.to(torch.bfloat16), {})
    assert {value.dtype for value in new.parameters()} == {torch.float32}
