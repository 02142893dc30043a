import numpy as np
import pytest

from fourfold.kernels import group_keys, group_keys_plain


@pytest.mark.parametrize("highest", [1, 50, 1 << 40, (1 << 62) - 1])
@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_grouping_is_numpy_unique(highest, size):
    keys = np.random.default_rng(size).integers(0, highest, size, endpoint=True)
    keys[size // 2 :] = keys[: size - size // 2]
    for fast, plain in zip(group_keys(keys), group_keys_plain(keys), strict=True):
        np.testing.assert_array_equal(fast, plain)
        assert fast.dtype == plain.dtype
