"""Several attempts at one problem."""

from __future__ import annotations

import math


def pass_at_k(attempts: int, passed: int, k: int) -> float:
    """The chance that at least one of `k` attempts passes, estimated from more: 1 - C(n - c, k) / C(n, k).

    Unbiased, unlike 1 - (1 - c/n)^k (Chen et al. 2021, equation 1 and appendix A).
    """
    if not 0 <= passed <= attempts or not 1 <= k <= attempts:
        raise ValueError(f"expected 0 <= passed <= attempts and 1 <= k <= attempts, got {passed}, {attempts}, k = {k}")
    return 1 - math.comb(attempts - passed, k) / math.comb(attempts, k)
