"""Devices to train on, read from `devices.toml`, and runs that were published, from `training_runs.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fourfold.errors import unknown_name
from fourfold.resources.cards import Record, read_records


class DeviceCard(Record):
    """One accelerator as its maker prints it; sizes in bytes, rates a second."""

    title: str
    flops_16: float = Field(gt=0)
    """Products of 16-bit numbers added in 32 bits, dense."""
    flops_32: float = Field(gt=0)
    """Products of 32-bit numbers without tensor cores, or what stands in the sheet for fp32."""
    memory: float = Field(gt=0)
    memory_bandwidth: float = Field(gt=0)
    link: float = Field(gt=0)
    """One direction, to other devices of the node."""
    network: float = Field(gt=0)
    """One direction, to other nodes, one device's share; that of the maker's own nodes where they exist."""
    node: int = Field(gt=0)
    """Devices of a node, or of what the fast link joins."""
    power: float = Field(gt=0)
    """Watts at full load."""
    price: float = Field(gt=0)
    """US dollars a device and hour. A default to be overridden: rented prices differ by a factor of four."""
    source: str


class TrainingRun(Record):
    """A published training, or a step of one: how it was run, and what was written of it."""

    title: str
    preset: str
    """Our name of its architecture."""
    changes: Mapping[str, int] = Field(default_factory=dict)
    """layers, hidden_size, heads, feed_forward_size, vocabulary_size where the run's differ."""
    tokens: float = Field(default=1.0, gt=0)
    context: int = 2048
    devices: str
    batch_size: int = Field(ge=1)
    """Rows of a step."""
    parallel: str = ""
    """Its plan in our words; without it the plan is searched for."""
    micro_batch: int = 1
    recompute: bool = False
    fused: bool = True
    """Whether attention scores never stood in memory."""
    stream: Literal[2, 4] = 2
    """Bytes of a number that goes from layer to layer."""
    accumulated: Literal[0, 4] = 0
    """Bytes a weight of a buffer in which gradients are summed beside those of the backward pass."""
    model_share: float | None = Field(default=None, gt=0, lt=1)
    """MFU as published."""
    hardware_rate: float | None = Field(default=None, gt=0)
    """Operations a second of a device as published, those computed again counted."""
    token_rate: float | None = Field(default=None, gt=0)
    """Tokens a second of a device as published."""
    published: Mapping[Literal["flops", "seconds", "step", "rate", "memory", "kilowatt_hours"], float]
    """What is compared: operations and seconds of the training, seconds of a step, operations a second of a device
    (computed again ones counted), bytes of the fullest device, energy."""
    overhead: float = Field(default=1.0, ge=1)
    """What the building takes, as the source counts energy."""
    fitted: bool = False
    """Whether the plan's constants were fitted to it."""
    source: str
    note: str = ""
    """Why the plan differs, where it does by more than 15 %."""


def device_names() -> dict[str, DeviceCard]:
    """Every device by name."""
    return {name: DeviceCard(**record) for name, record in read_records("devices.toml").items()}


def device_card(name: str) -> tuple[str, DeviceCard]:
    """The card of a device by its name in any case, `a100-80gb`, with the name as the table writes it."""
    cards = device_names()
    by_lower = {key.lower(): key for key in cards}
    if name.lower() not in by_lower:
        raise unknown_name("device", name, cards)
    found = by_lower[name.lower()]
    return found, cards[found]


def training_runs() -> dict[str, TrainingRun]:
    """Published trainings by name, in the order of the file."""
    return {name: TrainingRun(**record) for name, record in read_records("training_runs.toml").items()}
