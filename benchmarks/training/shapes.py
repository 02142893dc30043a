"""What the matrix products of a step take alone, in bf16, everything warm: the bound that the loop is held against."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from sizes import CONTEXT, VOCABULARY, Size

TIMES = 3


def shape_seconds(size: Size) -> dict[str, float]:
    """Seconds a step by kind of product, forward and both gradients, each as often as a step needs it."""
    tokens, kind = size.tokens, torch.bfloat16
    found = {}
    for name, (inputs, outputs, count) in size.products.items():
        rows = 1024 if outputs == VOCABULARY else tokens  # logits are made in chunks, as a whole they would be slower
        x, weight = torch.randn(rows, inputs, dtype=kind), torch.randn(outputs, inputs, dtype=kind)
        gradient = torch.randn(rows, outputs, dtype=kind)

        def products(x=x, weight=weight, gradient=gradient) -> None:  # type: ignore[no-untyped-def]
            x @ weight.T, gradient @ weight, gradient.T @ x

        found[name] = median_seconds(products) * count * (tokens / rows)
    heads = size.rows * size.heads
    query = torch.randn(heads, CONTEXT, size.width // size.heads, dtype=kind)
    scores = torch.randn(heads, CONTEXT, CONTEXT, dtype=kind)

    def attention() -> None:
        for _ in range(2):  # scores and their gradient
            torch.bmm(query, query.transpose(1, 2))
        for matrix in (scores, scores, scores.transpose(1, 2), scores.transpose(1, 2)):
            torch.bmm(matrix, query)

    found["attention"] = median_seconds(attention) * size.layers
    return found


def median_seconds(work: Callable[[], None]) -> float:
    work()
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[TIMES // 2]
