"""Rows from two texts by fixed shares, against rows read from each alone."""

import numpy as np
import pytest
import torch

from fourfold.pretraining.corpus import TokenShards, WindowBatches
from fourfold.workflow.claims.mixing import MixedWindows


def shards(first, count):
    """One document of `count` tokens, `first` and upwards."""
    return TokenShards(np.arange(first, first + count, dtype=np.uint16), np.array([count]), {})


def rows(batches, steps):
    return torch.cat([batch.ids for step in range(steps) for batch in batches.at(step)])


def test_one_text_is_read_as_it_would_be_alone():
    text = shards(10, 1000)
    alone = WindowBatches(text, 4, 16, 7, 0)
    assert torch.equal(rows(MixedWindows([text], [1.0], 4, 16, 7, 0), 40), rows(alone, 40))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_shares_are_kept_and_each_text_is_read_in_its_own_order(share):
    texts = [shards(1, 1000), shards(2000, 500)]
    mixed = MixedWindows(texts, [1 - share, share], 10, 16, 7, 0)
    found = rows(mixed, 20)
    second = (found.max(1).values >= 2000).numpy()
    assert second.sum() == round(200 * share)
    for wanted, text in ((~second, texts[0]), (second, texts[1])):
        alone = rows(WindowBatches(text, 1, 16, 7, 0), int(wanted.sum()))
        assert torch.equal(found[torch.from_numpy(wanted)], alone)
    # No step is without a row that it should have: at most one off the share.
    steps = second.reshape(20, 10).sum(1)
    assert np.abs(steps - 10 * share).max() < 1


def test_a_small_text_goes_round():
    mixed = MixedWindows([shards(1, 1000), shards(2000, 32)], [0.5, 0.5], 8, 16, 7, 0)
    assert mixed.read(10) == [40, 40]
    again = rows(mixed, 10)
    piece = again[again.max(1).values >= 2000]
    assert len(torch.unique(piece, dim=0)) == 2


def test_a_step_depends_on_nothing_but_its_number():
    mixed = MixedWindows([shards(1, 1000), shards(2000, 500)], [0.7, 0.3], 10, 16, 7, 0)
    late = mixed.at(13)[0]
    for step in range(5):
        mixed.at(step)
    assert torch.equal(mixed.at(13)[0].ids, late.ids)
    assert torch.equal(late.ids[:, 1:], late.labels[:, :-1])
