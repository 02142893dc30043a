"""A whole stack in one compiled call, on the pages of a cache: decoders of packed weights, the plain steps of decoding.

What it computes is what the modules compute, with sums in another order. Where it does not apply, `run_fused` says
None and the modules run. A token's numbers do not depend on what else is in the step.
Letters: B rows, T tokens, D hidden size, N real tokens of the step, R the part of a head that turns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from fourfold.kernels import LayerCall, ModelCall, StepCall, WeightCall, described, kernel_threads, kernels
from fourfold.models.linear import Linear
from fourfold.models.packed import Packed
from fourfold.models.protocols import Step
from fourfold.models.transformer.attention import AttentionLayer
from fourfold.models.transformer.block import Block
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.feed_forward import FeedForwardLayer
from fourfold.models.transformer.model import Transformer
from fourfold.models.transformer.norms import RMSNorm
from fourfold.models.transformer.options import Rotary
from fourfold.models.transformer.paged import PAGE, PagedCache

LANES, BLOCK, QUERIES = 16, 32, 4
HEAD_SIZES = (16, 32, 64, 80, 96, 128, 256)
WIDEST = 8192
FIRST_ANGLES = 512
ACTIVATIONS = ("silu", "gelu", "gelu-tanh", "relu", "tanh")
NUMBERS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


Members = Mapping[str, Any]


class Plan(NamedTuple):
    """A stack as the library reads it."""

    model: ModelCall
    windows: tuple[int | None, ...]
    """Of the rotations, in the order of their numbers."""
    layers: list[tuple[Members, Packed, Members, Tensor]]
    """Of each linear layer its modules, the packed weight, and of that the tensors and its codes: what the addresses
    point into, by which a changed stack is known. As dictionaries: there are hundreds to look at before each token."""
    deltas: list[Members]
    angles: list[Tensor]
    """(views, positions, R/2) cosines and sines of the positions that were needed so far."""
    kept: list[object]
    """Kept alive with it."""

    def holds(self) -> bool:
        """Whether the stack still has these weights, where they were."""
        return all(own["packed"] is packed and tensors["codes"] is codes for own, packed, tensors, codes in self.layers)

    def adapted(self) -> bool:
        return any(self.deltas)


_plans: WeakKeyDictionary[Transformer, Plan | None] = WeakKeyDictionary()


def run_fused(stack: Transformer, step: Step, cache: PagedCache) -> Tensor | None:
    """(B, T, D) hidden states after the final norm, the cache advanced; None where the modules must run.

    Beyond a row's real tokens the states are zeros.
    """
    if not _plain(step, cache) or stack.training or torch.is_grad_enabled():
        return None
    plan = _plan(stack)
    if plan is None or (step.adapters is None and plan.adapted()):
        return None
    rows, length = step.ids.shape
    counts = [length] * rows if step.lengths is None else step.lengths.tolist()
    if max(start + count for start, count in zip(cache.starts, counts, strict=True)) > stack.config.context:
        return None
    cache.reserve(length)
    x = stack.embed(step, cache.lengths).float()  # no scheme that is compiled has positions on entry
    real = None if min(counts) == length else torch.arange(length) < torch.tensor(counts)[:, None]
    hidden = x.reshape(-1, x.shape[-1]).contiguous() if real is None else x[real]
    _call(stack, plan, hidden, counts, cache)
    cache.advance(torch.tensor(counts))
    if real is None:
        return hidden.view(x.shape)
    output = torch.zeros_like(x)
    output[real] = hidden
    return output


def is_fused(stack: Transformer) -> bool:
    """Whether every plain step on pages that no delta acts on runs compiled, from the token vectors on."""
    on_cpu = next(stack.parameters()).device.type == "cpu"
    direct = on_cpu and stack.embedding_norm is None and stack.projection is None
    return direct and not stack.training and _plan(stack) is not None


def _plan(stack: Transformer) -> Plan | None:
    plan = _plans.get(stack)
    if plan is None or not plan.holds():
        plan = _plans[stack] = _make_plan(stack)
    return plan


def _plain(step: Step, cache: PagedCache) -> bool:
    asked = (step.documents, step.prefix, step.segments, step.source, step.trace, step.positions)
    without = step.adapters is None or (isinstance(step.adapters, int) and step.adapters == 0)
    return without and all(part is None for part in asked) and cache.pages.device.type == "cpu"


def _call(stack: Transformer, plan: Plan, hidden: Tensor, counts: list[int], cache: PagedCache) -> None:
    """Fill (N, D) `hidden`, which holds the embeddings, with the stack's output."""
    cosine, sine = _angles(stack, plan, max(start + count for start, count in zip(cache.starts, counts, strict=True)))
    row = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    position = np.concatenate([np.arange(s, s + n, dtype=np.int32) for s, n in zip(cache.starts, counts, strict=True)])
    width = max(map(len, cache.tables))
    tables = np.zeros((len(counts), width), np.int32)
    for number, table in enumerate(cache.tables):
        tables[number, : len(table)] = table
    pages = cache.pages
    scales = (pages.key_scales, pages.value_scales)
    key_scales, value_scales = (None if scale is None else scale.data_ptr() for scale in scales)
    call = StepCall(
        hidden=hidden.data_ptr(), cosine=cosine.data_ptr(), sine=sine.data_ptr(),
        row=row.ctypes.data, position=position.ctypes.data, tables=tables.ctypes.data,
        keys=pages.keys.data_ptr(), values=pages.values.data_ptr(), key_scales=key_scales, value_scales=value_scales,
        pages=pages.keys.shape[1], tokens=len(hidden), width=width, page=PAGE, number=NUMBERS[pages.dtype],
        angles=cosine.shape[1],
    )  # fmt: skip
    running, threads = kernels(), kernel_threads()
    assert running.library is not None
    longest = (width + 1) * PAGE
    scores = torch.empty(threads * QUERIES * longest)
    room = torch.empty(running.library.fourfold_step_room(ctypes.byref(plan.model), len(hidden)), dtype=torch.uint8)
    addresses = (ctypes.byref(plan.model), ctypes.byref(call), room.data_ptr(), scores.data_ptr())
    running.library.fourfold_step(*addresses, longest, threads, running.set)


def _angles(stack: Transformer, plan: Plan, positions: int) -> list[Tensor]:
    """Cosines and sines of at least so many positions; twice as many when they do not suffice."""
    if not plan.angles or plan.angles[0].shape[1] < positions:
        wanted = torch.arange(min(max(2 * positions, FIRST_ANGLES), stack.config.context))[None]
        found = []
        for window in plan.windows:
            scheme = stack.positions if window is None or stack.local_positions is None else stack.local_positions
            rotation = scheme.rotation(wanted, torch.float32)
            assert rotation is not None
            found.append(rotation[:2])
        plan.angles[:] = [torch.stack([part[which][0, 0] for part in found]) for which in (0, 1)]
    return plan.angles


def _fits(config: TransformerConfig) -> bool:
    """Whether the compiled stack knows this architecture."""
    rotary = [config.positions, config.local_positions or config.positions]
    return (
        config.mask == "causal"
        and config.norm.kind == "rms"
        and config.norm.place in ("pre", "sandwich")
        and config.residual == "serial"
        and not config.cross_attention
        and config.feed_forward.experts is None
        and config.feed_forward.size % BLOCK == 0
        and config.hidden_size % LANES == 0
        and config.hidden_size <= WIDEST
        and config.head_size in HEAD_SIZES
        and config.attention.norm != "full"
        and all(isinstance(scheme, Rotary) for scheme in rotary)
        and len({(scheme.share, scheme.interleaved) for scheme in rotary if isinstance(scheme, Rotary)}) == 1
    )


def _make_plan(stack: Transformer) -> Plan | None:
    layers = [layer for layer in stack.layers if isinstance(layer, Block)]
    linear = [child for layer in layers for child in layer.modules() if isinstance(child, Linear)]
    packed: list[tuple[Members, Packed, Members, Tensor]] = [
        (child._modules, child.packed, child.packed._buffers, child.packed.codes)
        for child in linear
        if child.packed is not None
    ]
    biases = [child.bias for child in linear if child.bias is not None]
    if kernels().library is None or not _fits(stack.config) or len(packed) != len(linear):
        return None
    if any(bias.dtype != torch.float32 for bias in biases):
        return None
    config, kept = stack.config, list[object](biases)
    windows = tuple(dict.fromkeys(config.window(index) for index in range(config.layers)))
    calls = (LayerCall * len(layers))(*(_layer_call(layer, windows, kept) for layer in layers))
    assert isinstance(config.positions, Rotary)
    model = ModelCall(
        layers=calls, norm=_gain(stack.norm, kept), count=len(layers), hidden=config.hidden_size,
        heads=config.attention.heads, groups=config.kv_heads, head_size=config.head_size,
        inner=config.feed_forward.size, activation=ACTIVATIONS.index(config.feed_forward.activation),
        turned=config.rotary_size, interleaved=config.positions.interleaved, epsilon=config.norm.epsilon,
        scale=config.attention.scale or config.head_size**-0.5, softcap=config.attention.softcap or 0.0,
    )  # fmt: skip
    return Plan(model, windows, packed, [child.deltas._modules for child in linear], [], [*kept, calls])


def _layer_call(layer: Block, windows: tuple[int | None, ...], kept: list[object]) -> LayerCall:
    attention, feed_forward = layer.attention, layer.feed_forward
    assert isinstance(attention, AttentionLayer)
    assert isinstance(feed_forward, FeedForwardLayer)
    norms = {
        "norm_attention": layer.norm_attention,
        "norm_attention_output": layer.norm_attention_output,
        "norm_feed_forward": layer.norm_feed_forward,
        "norm_feed_forward_output": layer.norm_feed_forward_output,
        "norm_query": attention.norm_query,
        "norm_key": attention.norm_key,
    }
    return LayerCall(
        **dict(_weights(attention, feed_forward)),
        **{name: _gain(norm, kept) for name, norm in norms.items()},
        window=attention.window or 0,
        view=windows.index(attention.window),
    )


def _weights(attention: AttentionLayer, feed_forward: FeedForwardLayer) -> Iterator[tuple[str, WeightCall]]:
    for name in ("query", "key", "value", "output", "gate", "up", "down"):
        layer = getattr(attention, name, None) or getattr(feed_forward, name)
        if layer is not None:  # no gate: an empty weight
            yield name, described(layer.packed.matrix, layer.bias)


def _gain(norm: nn.Module | None, kept: list[object]) -> int | None:
    """The address of a norm's factors."""
    if norm is None:
        return None
    assert isinstance(norm, RMSNorm)
    gain = (norm.weight.detach().float() + norm.offset).contiguous()
    kept.append(gain)
    return gain.data_ptr()
