"""What merging an adapter into its base loses: the same layer merged in fp32 and rounded to bf16.

A weight in bf16 has 8 significant bits. Where a delta is smaller than half of the last one it is rounded away, and the
merged model behaves as if it had been tuned less.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from fourfold.workflow.doctor.adapter import PREFIX, factors_of, scale_of
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind
from fourfold.workflow.doctor.model import Model

LAYERS = 8
"""Layers measured, spread evenly over the adapter."""
MUCH = 0.5
SOME = 0.1

DRIFTS = kind("merge-drift")
DRIFTS_LITTLE = kind("merge-drift-small")


def check(model: Model) -> Iterator[Outcome]:
    if model.form != "adapter" or model.base is None or model.config.get("peft_type") != "LORA":
        return
    layers = [name for name, layer in factors_of(model).items() if layer.down and layer.up]
    step = max(len(layers) // LAYERS, 1)
    losses = {name: loss for name in layers[::step][:LAYERS] if (loss := lost_in_layer(model, name)) is not None}
    if not losses:
        return
    worst = max(losses, key=lambda name: losses[name])
    middle = sorted(losses.values())[len(losses) // 2]
    told = f"{middle:.1%}"
    label = Words("error of a bf16 merge", "bf16 合并误差")
    yield Fact("merge", label, Words(f"{told} of the delta", f"增量的 {told}"))
    if middle > SOME:
        found = DRIFTS if middle > MUCH else DRIFTS_LITTLE
        yield found.at(worst, lost=min(losses[worst], 1.0))


def lost_in_layer(model: Model, name: str) -> float | None:
    """‖bf16(W + sBA) − (W + sBA)‖ / ‖sBA‖, W being in bf16 already; None where a part cannot be read."""
    weight = base_weight(model, name)
    down, up = (_whole(model, f"{PREFIX}{name}.lora_{side}") for side in "AB")
    scale = scale_of(model.config, name, 0 if down is None else down.shape[0])
    if weight is None or down is None or up is None or scale is None:
        return None
    delta = scale * (up @ down)
    if delta.shape != weight.shape and delta.t().shape == weight.shape:
        delta = delta.t()
    size = float(delta.norm())
    if delta.shape != weight.shape or not size > 0:
        return None
    merged = weight.bfloat16().float() + delta
    return float((merged.bfloat16().float() - merged).norm()) / size


def base_weight(model: Model, name: str) -> Tensor | None:
    """The weight of a layer of the base in fp32."""
    base = model.base
    assert base is not None
    for spelling in (name, name.removeprefix("model."), f"model.{name}", f"transformer.{name}"):
        found = _whole(base, spelling)
        if found is not None:
            return found
    if base.gguf is None or base.described is None:
        return None
    ours = base.described.parameter(name)
    return base.gguf.weights[ours] if ours is not None and ours in base.gguf.weights else None


def _whole(model: Model, layer: str) -> Tensor | None:
    for name in (f"{layer}.weight", f"{layer}.default.weight"):
        entry = model.entries.get(name)
        if entry is not None and entry.whole and entry.is_number and entry.is_matrix and model.tensors is not None:
            return model.tensors.rows(name, 0, entry.shape[0])
    return None


CHECK: Check[Model] = Check(title=Words("Merging", "合并"), run=check, kinds=(DRIFTS, DRIFTS_LITTLE))
