"""How fast this machine does a job: time a slice of it and carry the result over.

Where a two-layer slice of a model with one stack and a head is small enough, real training steps of one and of two
layers are timed; the difference is a layer, the rest is embedding, head and optimizer.
Otherwise a matrix product in the model's own shape is timed and `PRODUCT_SHARE` of its rate
is taken.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from fourfold.models import Config, EncoderDecoderConfig, RecurrentConfig, TransformerConfig, make_module
from fourfold.models.inspection import count, stacks
from fourfold.pretraining.planning import Job, flops
from fourfold.training import (
    FixedBatches,
    LabelledBatch,
    Precision,
    adamw,
    causal_language_modelling,
    constant,
    train,
)

SLICE_PARAMETERS = 80_000_000
"""Largest two-layer slice that is trained for the probe."""
SLICE_TOKENS = 512
"""Most tokens of a probed step."""
PRODUCT_SHARE = 0.55
"""Share of the rate of one large product that a whole training step reaches on a CPU."""
TIMED = 2
PEAK_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds of a whole job on this machine."""

    seconds: float
    spread: float
    """Plus or minus, in seconds: what the probes disagreed by, at least a tenth."""
    how: str


def measure_speed(job: Job, precision: Precision) -> Speed:
    """Probe for a few seconds and estimate the seconds of the whole job."""
    config = job.config
    if isinstance(config, EncoderDecoderConfig) or (isinstance(config, TransformerConfig) and config.head is None):
        return _by_product(job, precision)
    if count(replace(config, layers=min(2, config.layers))).total > SLICE_PARAMETERS:
        return _by_product(job, precision)
    return _by_steps(job, config, precision)


def peak_flops(precision: Precision) -> float:
    """Operations a second of one large square product here, in the precision of the products of a training step.

    What is shown as MFU, the share of the hardware's peak (Chowdhery et al. 2022, appendix B), is a share of this
    measured rate: what processors print as their peak is not reached by any product.
    """
    kind = precision.autocast or torch.float32
    square = torch.ones(PEAK_SIZE, PEAK_SIZE, dtype=kind)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        square @ square
        times.append(time.perf_counter() - began)
    return 2 * PEAK_SIZE**3 / min(times[1:])


def _by_steps(job: Job, config: TransformerConfig | RecurrentConfig, precision: Precision) -> Speed:
    """T(L layers) = T(1) + (L - 1)(T(2) - T(1)), per token of a step."""
    row = min(job.row, SLICE_TOKENS)
    rows = max(1, min(job.batch_size, SLICE_TOKENS // row))
    one = _step_seconds(replace(config, layers=1), rows, row, precision)
    low = high = one
    if config.layers > 1:
        two = _step_seconds(replace(config, layers=2), rows, row, precision)
        extra = config.layers - 1
        low = one + extra * max(two - one, 0.05 * one)
        high = one + extra * max(two - one, 0.05 * one) * 1.15
    # A forward pass is a third of a training step; a frozen model needs two, recomputing one more.
    share = flops(job) / flops(replace(job, purpose="train", recompute=False))
    steps = job.tokens / (rows * row)
    middle = (low + high) / 2 * steps * share
    return Speed(seconds=middle, spread=max(middle / 10, (high - low) / 2 * steps * share), how="training steps timed")


def _step_seconds(config: Config, rows: int, row: int, precision: Precision) -> float:
    model = make_module(config)
    model.initialise(torch.Generator().manual_seed(0))
    ids = torch.randint(0, config.vocabulary_size, (rows, row + 1), generator=torch.Generator().manual_seed(0))
    source = FixedBatches([[LabelledBatch(ids[:, :-1], ids[:, 1:])]])
    steps = train(
        model, causal_language_modelling(), source, adamw(model, 1e-4),
        steps=TIMED + 1, schedule=constant(1e-4), precision=precision,
    )  # fmt: skip
    return min([step.seconds for step in steps][1:])


def _by_product(job: Job, precision: Precision) -> Speed:
    """The rate of (tokens, D) x (D, F), the model's largest product outside the head."""
    config = job.config
    inner = (
        [4 * config.hidden_size]
        if isinstance(config, RecurrentConfig)
        else [s.feed_forward.size for s in stacks(config)]
    )
    width = max(inner)
    kind = precision.autocast or torch.float32
    tokens = min(SLICE_TOKENS, max(64, job.batch_size * job.row))
    left = torch.ones(tokens, config.hidden_size, dtype=kind)
    right = torch.ones(config.hidden_size, width, dtype=kind)
    times = []
    for _ in range(TIMED + 1):
        began = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - began)
    rate = 2 * tokens * config.hidden_size * width / min(times[1:])
    seconds = flops(job) / (rate * PRODUCT_SHARE)
    return Speed(seconds=seconds, spread=seconds / 3, how=f"a matrix product timed at {rate / 1e9:,.0f} GFLOP/s")
