"""A PEFT adapter against its base: layers, shapes, ranks, scale, and the rows of tokens it added."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, listed, same
from fourfold.workflow.doctor.model import Model
from fourfold.workflow.doctor.tensors import find_embedding, find_head

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
FACTOR = re.compile(re.escape(PREFIX) + r"(.+)\.lora_(A|B)(?:\.default)?\.weight")
USUAL_SCALES = (1 / 16, 16.0)

BASE_UNNAMED = kind("base-unnamed")
BASE_ABSENT = kind("base-absent")
NOT_LORA = kind("adapter-kind")
NO_LAYER = kind("lora-layer-unknown")
MISSHAPED = kind("lora-misshaped")
HALF = kind("lora-half")
RANK = kind("lora-rank")
SCALE = kind("lora-scale")
UNTRAINED = kind("lora-untrained")
TARGETS = kind("lora-target-missing")
GAPS = kind("lora-layers-missing")
NEW_TOKENS = kind("new-tokens-unsaved")


class Layer(NamedTuple):
    """The shapes of one layer's factors; None for one that is not there."""

    down: tuple[int, ...] | None
    up: tuple[int, ...] | None

    @property
    def rank(self) -> int:
        return self.down[0] if self.down else 0


def check(model: Model) -> Iterator[Outcome]:
    if model.form != "adapter":
        return
    config = model.config
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        yield BASE_UNNAMED.at(CONFIG)
    elif model.base is None:
        yield BASE_ABSENT.at(CONFIG, base=base, reference=model.reference)
    else:
        yield Fact("base", Words("base", "基座"), same(model.base.reference))
    if config.get("peft_type") != "LORA":
        yield NOT_LORA.at(CONFIG, kind=str(config.get("peft_type"))[:40])
        return
    layers = factors_of(model)
    half = [name for name, layer in layers.items() if layer.down is None or layer.up is None]
    if half:
        yield HALF.at(half[0], count=len(half), names=listed(half))
    yield from _ranks(config, layers)
    yield from _zeros(model, layers)
    yield from _targets(config, layers)
    if model.base is not None:
        yield from _against(model, model.base, layers)
        yield from _new_tokens(model, model.base)


def factors_of(model: Model) -> dict[str, Layer]:
    """The layers an adapter acts on, by the names of the base's layers."""
    layers: dict[str, Layer] = {}
    for name, entry in model.entries.items():
        found = FACTOR.fullmatch(name)
        if found:
            layer = layers.get(found[1], Layer(None, None))
            layers[found[1]] = layer._replace(**{"down" if found[2] == "A" else "up": entry.shape})
    return {name: layer for name, layer in layers.items() if all(len(s or (1, 1)) == 2 for s in layer)}


def by_pattern(patterns: Any, name: str, default: Any) -> Any:
    """As PEFT: a pattern is a regular expression for the end of the layer's name."""
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        try:
            if re.match(rf"(.*\.)?({pattern})$", name):
                return value
        except re.error:
            continue
    return default


def scale_of(config: Mapping[str, Any], name: str, rank: int) -> float | None:
    """What the product of the factors is multiplied by; None where the configuration makes no sense."""
    alpha = by_pattern(config.get("alpha_pattern"), name, config.get("lora_alpha", rank))
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or rank < 1:
        return None
    return alpha / math.sqrt(rank) if config.get("use_rslora") is True else alpha / rank


def _ranks(config: Mapping[str, Any], layers: Mapping[str, Layer]) -> Iterator[Outcome]:
    for name, layer in layers.items():
        said = by_pattern(config.get("rank_pattern"), name, config.get("r"))
        if layer.down and layer.up and (said != layer.rank or layer.up[1] != layer.rank):
            yield RANK.at(name, said=said, layer=name, got=layer.rank)
            break
    for name, layer in layers.items():
        scale = scale_of(config, name, layer.rank)
        if scale is not None and not USUAL_SCALES[0] <= scale <= USUAL_SCALES[1]:
            alpha = float(by_pattern(config.get("alpha_pattern"), name, config.get("lora_alpha", 0)))
            yield SCALE.at(CONFIG, scale=scale, alpha=alpha, rank=layer.rank)
            break


def _zeros(model: Model, layers: Mapping[str, Layer]) -> Iterator[Outcome]:
    factors = {name: found for name in model.entries if (found := FACTOR.fullmatch(name))}
    ups = [name for name, found in factors.items() if found[2] == "B" and found[1] in layers]
    if ups and model.tensors is not None and all(model.entries[name].whole for name in ups):
        tensors, entries = model.tensors, model.entries
        if not any(bool(tensors.rows(name, 0, entries[name].shape[0]).any()) for name in ups):
            yield UNTRAINED.at(WEIGHTS)


def _targets(config: Mapping[str, Any], layers: Mapping[str, Layer]) -> Iterator[Outcome]:
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not layers:
        return
    absent = [t for t in map(str, targets) if not any(name == t or name.endswith(f".{t}") for name in layers)]
    if absent:
        yield TARGETS.at(CONFIG, names=listed(absent))


def _against(model: Model, base: Model, layers: Mapping[str, Layer]) -> Iterator[Outcome]:
    shapes = layer_shapes(base)
    if not shapes:
        return
    found = {name: _shape(shapes, name) for name in layers}
    unknown = [name for name, shape in found.items() if shape is None]
    if unknown:
        yield NO_LAYER.at(CONFIG, base=base.reference, names=listed(unknown))
        return
    for name, layer in layers.items():
        shape = found[name]
        if shape is None or layer.down is None or layer.up is None:
            continue
        got = (layer.up[0], layer.down[1])
        if got not in (shape, shape[::-1] if model.config.get("fan_in_fan_out") is True else shape):
            product, weight = (f"{rows:,} × {columns:,}" for rows, columns in (got, shape))
            yield MISSHAPED.at(name, layer=name, got=product, expected=weight)
            return
    targets = model.config.get("target_modules")
    chosen = any(model.config.get(key) for key in ("layers_to_transform", "layers_pattern", "exclude_modules"))
    if isinstance(targets, list) and not chosen:
        known = {_tail(name) for name in layers}
        gaps = [name for name in shapes if name.rpartition(".")[2] in targets and _tail(name) not in known]
        if gaps and layers:
            yield GAPS.at(CONFIG, count=len(gaps), names=listed(gaps))


def layer_shapes(base: Model) -> dict[str, tuple[int, int]]:
    """(out, in) of the base's linear layers, by the names in adapter files."""
    if base.described is not None:
        return {name: place.shape for name, place in base.described.layers().places.items()}
    if base.form != "folder":
        return {}
    matrices = {name: entry.shape for name, entry in base.entries.items() if len(entry.shape) == 2}
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in matrices.items()
        if name.endswith(".weight")
    }


def _shape(shapes: Mapping[str, tuple[int, int]], name: str) -> tuple[int, int] | None:
    """Names may have or lack the prefix of the model without its head."""
    exact = shapes.get(name)
    return exact or next((shape for known, shape in shapes.items() if _tail(known) == _tail(name)), None)


def _tail(name: str) -> str:
    """From the first number on: `model.layers.0.mlp.up_proj` by `0.mlp.up_proj`."""
    found = re.search(r"\d+\..*", name)
    return found[0] if found else name.rpartition(".")[2]


def _new_tokens(model: Model, base: Model) -> Iterator[Outcome]:
    rows = base.rows
    if rows is None or model.tokenizer is None or model.tokenizer is base.tokenizer:
        return
    new = [repr(model.names[id]) for id in sorted(model.names) if id >= rows]
    saves = find_embedding(model.entries) or find_head(model.entries) or any(
        part in name for name in model.entries for part in ("trainable_tokens", "token_adapter", "lora_embedding")
    )  # fmt: skip
    if new and not saves:
        yield NEW_TOKENS.at("tokenizer.json", count=len(new), rows=f"{rows:,}", names=listed(new))


CHECK: Check[Model] = Check(
    title=Words("Adapter", "适配器"),
    run=check,
    kinds=(BASE_UNNAMED, BASE_ABSENT, NOT_LORA, NO_LAYER, MISSHAPED, HALF, RANK, SCALE, UNTRAINED, TARGETS, GAPS,
           NEW_TOKENS),
)  # fmt: skip
