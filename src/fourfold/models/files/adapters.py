"""Low-rank adapters on disk, in the layout of Hugging Face PEFT: `Linear.deltas` both ways."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.models.files.adapter_layers import Factors, attach, gathered, layout
from fourfold.models.files.tensors import is_finite, read_tensors, write_tensors
from fourfold.models.linear import LowRankDelta
from fourfold.models.transformer import EncoderDecoder, TransformerLM

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
UNSUPPORTED = {"use_dora": "DoRA", "modules_to_save": "fully trained modules", "layer_replication": "layer replication"}


def save_adapter(module: nn.Module, folder: Path | str, base: str) -> None:
    """Write the deltas of every layer as one PEFT LoRA adapter of the model called `base`.

    Several deltas of a layer become one of their ranks together, their scales multiplied in.
    """
    folder = Path(folder)
    found = layout(module)
    adapted = {name: factors for name, place in found.places.items() if (factors := gathered(place)) is not None}
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
        "task_type": _task_type(module),
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": max(delta.dropout.p for delta in module.modules() if isinstance(delta, LowRankDelta)),
        "target_modules": _targets(adapted, found.places),
        "rank_pattern": {name: value for name, value in ranks.items() if value != rank},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
        "bias": "none",
        "fan_in_fan_out": found.transposed,
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
    found = layout(module)
    downs, ups = _factors(read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    places = {name: found.find(name) for name in downs}
    unknown = sorted(name for name, place in places.items() if place is None)
    if unknown:
        raise UserError("the adapter is for another model: no layer " + ", ".join(unknown[:10]), where=folder)
    for name, place in places.items():
        assert place is not None
        factors = Factors(downs[name], ups[name], _scale(config, name, downs[name].shape[0]))
        rank, (out_size, in_size) = len(factors.down), place.shape
        wanted = ((rank, in_size), (out_size, rank))
        if (tuple(factors.down.shape), tuple(factors.up.shape)) != wanted:
            shapes = f"{tuple(factors.down.shape)} and {tuple(factors.up.shape)}"
            raise UserError(f"the adapter of {name} is misshaped", where=folder, expected=wanted, got=shapes)
        attach(place, factors, config.get("lora_dropout", 0.0), module.training)


def _task_type(module: nn.Module) -> str | None:
    """PEFT's name of what the model is for; None where it would add layers of its own."""
    if isinstance(module, EncoderDecoder):
        return "SEQ_2_SEQ_LM"
    encoder = isinstance(module, TransformerLM) and (module.head is None or module.config.mask == "bidirectional")
    return None if encoder else "CAUSAL_LM"


def _targets(adapted: Mapping[str, Factors], layers: Iterable[str]) -> list[str]:
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
        if tensor.dim() != 2 or not is_finite(tensor):
            raise UserError(f"not a matrix of numbers: {name}", where=where, got=tuple(tensor.shape))
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
    alpha = float(next(fitting, config.get("lora_alpha", rank)))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
