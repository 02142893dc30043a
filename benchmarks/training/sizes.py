"""The models, the data and the count of operations that all contenders share."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch

VOCABULARY, CONTEXT = 8192, 512
BETAS, DECAY, CLIP = (0.9, 0.95), 0.1, 1.0


@dataclass(frozen=True)
class Size:
    """A decoder of LLaMA's kind with a tied head."""

    layers: int
    width: int
    heads: int
    inner: int
    rounds: int
    """Turns of each contender, if the command line names no other number."""
    steps: int
    """Of a turn, likewise."""
    rows: int = 8
    """Of a step."""
    rate: float = 1e-3
    """Of learning, from the first step on."""

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.rows * CONTEXT

    @property
    def products(self) -> dict[str, tuple[int, int, int]]:
        """Matrix products a token goes through: in, out, how many."""
        width, inner = self.width, self.inner
        return {
            "query, key, value": (width, 3 * width, self.layers),
            "output": (width, width, self.layers),
            "gate, up": (width, 2 * inner, self.layers),
            "down": (inner, width, self.layers),
            "head": (width, VOCABULARY, 1),
        }

    @property
    def flops_per_token(self) -> float:
        """6 N over the weights of matrix products (the head counts, looking up an embedding does not), and the
        attention products of the whole square, forward and backward: 12 x layers x width x context."""
        weights = sum(a * b * count for a, b, count in self.products.values())
        return 6.0 * weights + 12.0 * self.layers * self.width * CONTEXT


SIZES = {
    "1M": Size(layers=4, width=96, heads=3, inner=256, rounds=7, steps=6),
    "5M": Size(layers=8, width=192, heads=3, inner=512, rounds=7, steps=3),
    "17M": Size(layers=8, width=384, heads=6, inner=1024, rounds=6, steps=2),
    # With eight rows the contenders, who are all there at once, would need more than 30 GB. At a rate of 1e-3 without a
    # warm-up the third loss already depends on the last bits (LOG.md, 2026-11-28).
    "100M": Size(layers=13, width=768, heads=12, inner=2048, rounds=4, steps=3, rows=2, rate=1e-4),
}


def data(steps: int, rows: int) -> list[torch.Tensor]:
    """(rows, CONTEXT + 1) ids a step: bytes of the standard library's source, in an order fixed by a seed."""
    text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    ids = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(len(ids) - CONTEXT - 1, (steps, rows), generator=generator)
    return [torch.stack([ids[start : start + CONTEXT + 1] for start in row.tolist()]) for row in starts]
