import math

import numpy as np
import pytest

from fourfold.measures import block_borders, block_nats, ratio_difference, ratio_interval


def test_borders_join_a_short_tail():
    assert block_borders(10, 4).tolist() == [0, 4, 8, 10]
    assert block_borders(9, 4).tolist() == [0, 4, 9]
    assert block_borders(1, 4).tolist() == [0, 1]


def test_tokens_are_shared_out_by_their_bytes():
    # tokens of 3, 2, 3 bytes paying 3, 4, 6 nats; the middle one lies across the border at 4
    assert block_nats([-3, -4, -6], [3, 2, 3], 8, 4).tolist() == pytest.approx([5, 8])


def test_a_token_without_bytes_is_paid_with_its_neighbour():
    assert block_nats([-1, -2, -5], [4, 4, 0], 8, 4).tolist() == pytest.approx([1, 7])
    assert block_nats([-5, -1, -2], [0, 4, 4], 8, 4).tolist() == pytest.approx([6, 2])


@pytest.mark.parametrize("stretch", [1.0, 0.9, 1.3])
def test_every_nat_lands_in_one_block(stretch):
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 6, size=3000)
    log_probs = -generator.exponential(size=3000)
    nats = block_nats(log_probs, lengths, round(lengths.sum() * stretch), 512)
    assert nats.sum() == pytest.approx(-log_probs.sum())
    assert (nats > 0).all()


def test_blocks_of_two_tokenizers_meet():
    """A constant rate a byte gives the same blocks whatever the tokens are."""
    long, short = np.full(100, 8), np.full(400, 2)
    assert block_nats(-long * 0.5, long, 800, 128) == pytest.approx(block_nats(-short * 0.5, short, 800, 128))


def test_difference_on_the_same_blocks():
    generator = np.random.default_rng(1)
    sizes = np.full(32, 2048.0)
    a = sizes * generator.uniform(0.8, 1.6, size=32)
    b = a * 0.97 - generator.uniform(0, 0.01, size=32)
    result = ratio_difference(a, b, sizes)
    assert result.verdict == "better"
    assert result.high < 0
    assert result.difference == pytest.approx((b.sum() - a.sum()) / sizes.sum())
    apart_a, apart_b = ratio_interval(a, sizes), ratio_interval(b, sizes)
    assert apart_b.high > apart_a.low, "unpaired intervals overlap"


def test_blocks_widen_the_interval_of_dependent_tokens():
    """Tokens in runs: resampling tokens one by one would claim too much."""
    generator = np.random.default_rng(2)
    runs = np.repeat(generator.exponential(size=40), 256)
    blocks = block_nats(-runs, np.full(runs.size, 4), runs.size * 4, 1024)
    blocked = ratio_interval(blocks, np.full(blocks.size, 1024.0))
    single = ratio_interval(runs, np.full(runs.size, 4.0), samples=1000)
    assert blocked.high - blocked.low > 5 * (single.high - single.low)


def test_one_block_has_no_interval():
    interval = ratio_interval([3.0], [2.0])
    assert interval.value == 1.5
    assert math.isnan(interval.low)
    with pytest.raises(ValueError, match="as many lengths"):
        block_nats([-1.0], [1, 2], 3)
