"""Devices of one kind in nodes, as the planner sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fourfold.errors import UserError
from fourfold.resources import DeviceCard, device_card


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """So many devices of one kind."""

    name: str
    card: DeviceCard
    count: int

    @property
    def peak(self) -> float:
        """Operations a second of one device in products of 16-bit numbers, added in 32 bits."""
        return self.card.flops_16

    @property
    def memory(self) -> int:
        """Bytes of one device."""
        return round(self.card.memory)

    def bandwidth(self, ranks: int, stride: int) -> float:
        """Bytes a second that each of `ranks`, `stride` apart, can send in a collective among them.

        Inside a node that is the link. Across nodes a ring enters and leaves a node once for all its members there,
        and takes the network cards of all of them.
        """
        if ranks * stride <= self.card.node:
            return self.card.link * LINK_SHARE
        members = max(1, self.card.node // stride)
        return min(self.card.link, self.card.network * members) * NETWORK_SHARE


RUNTIME_BYTES = 2_500_000_000
"""What a device's context, its communication library and the gaps of the allocator take.

BigScience saw 1.3 to 1.6 GB for the context alone (chronicles-prequel.md of their run tr11)."""
LINK_SHARE, NETWORK_SHARE = 0.75, 0.65
"""Of the printed bandwidth that collectives reach."""


def parse_devices(text: str) -> Cluster:
    """`2048xA100-80GB`; without a number, one."""
    match = re.fullmatch(r"(?:(\d+)\s*[x×*])?\s*([A-Za-z][\w.+-]*)", text.strip())
    if match is None or match[1] == "0":
        raise UserError("not a number of devices", where="--devices", expected="such as 2048xA100-80GB", got=text)
    name, card = device_card(match[2])
    return Cluster(name=name, card=card, count=int(match[1] or 1))
