"""Low-rank adapters on disk, in the layout of Hugging Face PEFT: `Linear.deltas` both ways."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.models.families import Names, family_for
from fourfold.models.files.tensors import read_tensors, write_tensors
from fourfold.models.linear import Linear, LowRankDelta
from fourfold.models.transformer import TransformerLM

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
UNSUPPORTED = {"use_dora": "DoRA", "modules_to_save": "fully trained modules", "layer_replication": "layer replication"}


class Factors(NamedTuple):
    """One adapter of one layer: `scale * B A`."""

    down: Tensor
    up: Tensor
    scale: float


def save_adapter(module: nn.Module, folder: Path | str, base: str) -> None:
    """Write the deltas of every layer as one PEFT LoRA adapter of the model called `base`.

    Several deltas of a layer become one of their ranks together, their scales multiplied in.
    """
    folder = Path(folder)
    names = _names(module)
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, Linear)}
    adapted = {names(name): _joined(layer) for name, layer in layers.items() if len(layer.deltas)}
    if not adapted:
        raise UserError("the model carries no adapter to save")
    ranks = {name: factors.down.shape[0] for name, factors in adapted.items()}
    alphas = {name: factors.scale * ranks[name] for name, factors in adapted.items()}
    rank, alpha = max(ranks.values()), max(alphas.values())
    tensors = {}
    for name, factors in adapted.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = factors.down
        tensors[f"{PREFIX}{name}.lora_B.weight"] = factors.up
    write_tensors(folder / WEIGHTS, tensors)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": max(
            d.dropout.p for layer in layers.values() for d in layer.deltas if isinstance(d, LowRankDelta)
        ),
        "target_modules": _targets(adapted, map(names, layers)),
        "rank_pattern": {name: value for name, value in ranks.items() if value != rank},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "modules_to_save": None,
    }
    write_json(folder / CONFIG, config)


def attach_adapter(module: nn.Module, folder: Path | str) -> None:
    """Append the LoRA adapter in `folder` to the deltas of the layers it names."""
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    _refuse_unsupported(config, folder / CONFIG)
    names = _names(module)
    layers = {names(name): layer for name, layer in module.named_modules() if isinstance(layer, Linear)}
    downs, ups = _factors(read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    unknown = sorted(downs.keys() - layers.keys())
    if unknown:
        raise UserError("the adapter is for another model: no layer " + ", ".join(unknown[:10]), where=folder)
    for name, down in downs.items():
        layer, up = layers[name], ups[name]
        rank = down.shape[0]
        wanted = ((rank, layer.in_size), (layer.out_size, rank))
        if (tuple(down.shape), tuple(up.shape)) != wanted:
            shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
            raise UserError(f"the adapter of {name} is misshaped", where=folder, expected=wanted, got=shapes)
        delta = LowRankDelta(
            layer.in_size, layer.out_size, rank, _scale(config, name, rank), config.get("lora_dropout", 0.0)
        )
        delta.down, delta.up = nn.Parameter(down.float()), nn.Parameter(up.float())
        layer.deltas.append(delta.to(layer.weight.device).train(module.training))


def _names(module: nn.Module) -> Any:
    """Our module names to the family's; a model no family expresses keeps its own."""
    family = family_for(module.config) if isinstance(module, TransformerLM) else None
    table = Names({}) if family is None else family.hugging_face
    return lambda name: table.theirs(name) or name


def _joined(layer: Linear) -> Factors:
    deltas = [delta for delta in layer.deltas if isinstance(delta, LowRankDelta)]
    if len(deltas) == 1:
        return Factors(deltas[0].down.detach(), deltas[0].up.detach(), deltas[0].scale)
    down = torch.cat([delta.down.detach() for delta in deltas])
    return Factors(down, torch.cat([delta.up.detach() * delta.scale for delta in deltas], dim=1), 1.0)


def _targets(adapted: Mapping[str, Factors], layers: Any) -> list[str]:
    """Short names such as q_proj where all layers of that name are adapted, else full names."""
    short = {name.rpartition(".")[2] for name in adapted}
    if all(name in adapted for name in layers if name.rpartition(".")[2] in short):
        return sorted(short)
    return sorted(adapted)


def _refuse_unsupported(config: Any, where: Path) -> None:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise UserError("only LoRA adapters can be loaded", where=where, got=kind)
    for key, what in UNSUPPORTED.items():
        if config.get(key):
            raise UserError(f"adapters with {what} are not supported", where=where)
    if config.get("bias", "none") != "none":
        raise UserError("adapters with biases are not supported", where=where, got=config["bias"])


def _factors(tensors: Mapping[str, Tensor], where: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    downs: dict[str, Tensor] = {}
    ups: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = re.fullmatch(re.escape(PREFIX) + r"(.+)\.lora_([AB])(?:\.default)?\.weight", name)
        if match is None:
            raise UserError(f"not a tensor of a LoRA adapter: {name}", where=where)
        (downs if match[2] == "A" else ups)[match[1]] = tensor
    if downs.keys() != ups.keys():
        lonely = sorted(downs.keys() ^ ups.keys())
        raise UserError("half of an adapter is missing: " + ", ".join(lonely[:10]), where=where)
    return downs, ups


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (Kalajdzievski 2023), alpha perhaps per layer."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    # As PEFT: a pattern is a regular expression for the end of the layer's name.
    fitting = (alpha for pattern, alpha in patterns.items() if re.match(rf"(.*\.)?({pattern})$", name))
    alpha = float(next(fitting, config["lora_alpha"]))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
