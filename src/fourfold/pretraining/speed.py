"""How fast this machine does a job: time steps of it, or of a slice of it, and carry the result over.

Real training steps are timed, with the job's own optimizer. The whole model at the whole batch, where a few such steps
take seconds; else slices of one and of two layers, whose difference is a layer, the rest being embedding, head and
optimizer; else those with fewer rows, too. Where even a two-layer slice is large, or there are two stacks, a matrix
product in the model's own shape is timed and `PRODUCT_SHARE` of its rate is taken. A job that is compiled is timed
compiled, which takes a minute; PyTorch keeps what it made, for the training too.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import torch

from fourfold.models import EncoderDecoderConfig, Recurrent, TransformerConfig, TransformerLM, make_module
from fourfold.models.elmo import ElmoLM
from fourfold.models.inspection import count, stacks
from fourfold.pretraining.planning import Job, flops, flops_per_token
from fourfold.training import (
    IGNORED,
    BothDirections,
    FixedBatches,
    LabelledBatch,
    Objective,
    Precision,
    causal_language_modelling,
    compile_regions,
    constant,
    make_optimizer,
    train,
    why_not,
)

SLICE_PARAMETERS = 80_000_000
"""Largest model that is made for the probe."""
SLICE_TOKENS = 512
"""Tokens of the first slice, which tells what can be afforded."""
STEP_SECONDS = 3.5
"""Longest probed step, by the rate of the first slice, which is a low one."""
ENOUGH_SECONDS = 5.0
"""After so long no further step of a slice is timed."""
PRODUCT_SHARE = 0.55
"""Share of the rate of one large product that a whole training step reaches on a CPU."""
TIMED = 3
PEAK_SIZE = 1024
PRODUCT_SIZE = 4096
"""Of the sides of the product that is timed: larger ones run no faster."""


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


def _by_steps(job: Job, config: TransformerConfig | Recurrent, precision: Precision) -> Speed:
    """Seconds of the job from the largest slice whose steps are short enough."""
    row = min(job.row, SLICE_TOKENS)
    few = max(1, min(job.batch_size, SLICE_TOKENS // row))
    small = replace(job, config=replace(config, layers=1), batch_size=few, context=row)
    first = _step_seconds(small, precision)
    rate = flops_per_token(small) * few * row / first
    wanted = replace(job, config=config)
    if _affordable(wanted, rate) and count(config).total <= SLICE_PARAMETERS:
        step, loose = _step_seconds(wanted, precision), 0.0
        tokens = job.batch_size * job.row
    else:
        largest = max(few, job.batch_size) if job.row == row else few
        rows = next((rows for rows in _halved(largest, few) if _affordable(_sliced(small, 2, rows), rate)), few)
        one = first if rows == few else _step_seconds(_sliced(small, 1, rows), precision)
        step, loose = _of_layers(one, _sliced(small, 2, rows), config.layers, precision)
        tokens = rows * row
    # A forward pass is a third of a training step; a frozen model needs two.
    share = flops(job) / flops(replace(job, purpose="train"))
    middle = step * job.tokens / tokens * share
    how = "compiled training steps timed" if job.compiled else "training steps timed"
    return Speed(seconds=middle, spread=max(0.1, loose) * middle, how=how)


def _of_layers(one: float, two: Job, layers: int, precision: Precision) -> tuple[float, float]:
    """T(L layers) = T(1) + (L - 1)(T(2) - T(1)), and the share by which it may be off."""
    if layers == 1:
        return one, 0.0
    layer = max(_step_seconds(two, precision) - one, 0.05 * one)
    return one + (layers - 1) * layer, 0.15


def _sliced(job: Job, layers: int, rows: int) -> Job:
    assert not isinstance(job.config, EncoderDecoderConfig)  # it has two stacks
    return replace(job, config=replace(job.config, layers=layers), batch_size=rows)


def _halved(most: int, least: int) -> list[int]:
    rows = [most]
    while rows[-1] > least:
        rows.append(max(least, rows[-1] // 2))
    return rows


def _affordable(job: Job, rate: float) -> bool:
    """Whether a step is short, at so many operations a second."""
    return flops_per_token(job) * job.batch_size * job.row / rate <= STEP_SECONDS


def _step_seconds(job: Job, precision: Precision) -> float:
    """Seconds of a training step of all weights."""
    model = make_module(job.config)
    model.initialise(torch.Generator().manual_seed(0))
    if isinstance(model, TransformerLM):
        model.stack.recompute = job.recompute
    generator = torch.Generator().manual_seed(0)
    shape = (job.batch_size, job.row)
    ids, labels = (torch.randint(0, job.config.vocabulary_size, shape, generator=generator) for _ in range(2))
    if job.predicted < 1:
        labels[torch.rand(shape, generator=generator) >= job.predicted] = IGNORED
    source = FixedBatches([[LabelledBatch(ids, labels)]])
    objective: Objective = BothDirections() if isinstance(model, ElmoLM) else causal_language_modelling()
    if job.compiled and why_not(model) is None:
        objective = compile_regions(model, objective)
    times: list[float] = []
    for step in train(
        model, objective, source, make_optimizer(job.optimizer, model, 1e-4),
        steps=1 + TIMED, schedule=constant(1e-4), precision=precision,
    ):  # fmt: skip
        times.append(step.seconds)
        if len(times) > 1 and sum(times[1:]) > ENOUGH_SECONDS:
            break
    return statistics.median(times[1:])


def _by_product(job: Job, precision: Precision) -> Speed:
    """The rate of (tokens, D) x (D, F), the model's largest product outside the head."""
    config = job.config
    inner = [4 * config.hidden_size] if isinstance(config, Recurrent) else [s.feed_forward.size for s in stacks(config)]
    width, depth = min(PRODUCT_SIZE, max(inner)), min(PRODUCT_SIZE, config.hidden_size)
    kind = precision.autocast or torch.float32
    tokens = min(SLICE_TOKENS, max(64, job.batch_size * job.row))
    left = torch.ones(tokens, depth, dtype=kind)
    right = torch.ones(depth, width, dtype=kind)
    times = []
    for _ in range(TIMED + 1):
        began = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - began)
    rate = 2 * tokens * depth * width / min(times[1:])
    seconds = flops(job) / (rate * PRODUCT_SHARE)
    return Speed(seconds=seconds, spread=seconds / 3, how=f"a matrix product timed at {rate / 1e9:,.0f} GFLOP/s")
