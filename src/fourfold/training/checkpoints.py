"""What a stopped run needs to go on: trained weights, buffers and optimizer state, as safetensors and JSON."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from fourfold.errors import UserError
from fourfold.files import atomic_folder, disk_errors, hash_file, read_json, write_json
from fourfold.progress import say
from fourfold.training.seals import sealed, unsealed

FORMAT = 1
"""Goes up when what a checkpoint holds changes its meaning; a checkpoint without one is of format 0, read as 1."""


class Checkpoint(NamedTuple):
    """What was restored besides weights and optimizer."""

    step: int
    """The number of the next step to run."""
    extra: dict[str, Any]
    tensors: dict[str, Tensor]


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    step: int,
    extra: Mapping[str, Any] | None = None,
    *,
    tensors: Mapping[str, Tensor] | None = None,
    kept: int = 2,
) -> Path:
    """Write `folder/step-NNNNNNNN`, whole or not at all, and keep the last `kept`.

    `step` is the number of the next step to run; `extra` and `tensors` are the caller's own. Frozen parameters are
    not stored: whoever resumes builds the model the same way first.
    """
    path = folder / f"step-{step:08d}"
    own = {f"extra/{name}": value for name, value in (tensors or {}).items()}
    tensors = own | {f"model/{name}": value for name, value in _trained(model).items()}
    scalars: dict[str, Any] = {}
    for name, key, value in _optimizer_state(model, optimizer):
        if isinstance(value, Tensor):
            tensors[f"optimizer/{name}/{key}"] = value
        else:
            scalars[f"optimizer/{name}/{key}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(".step-*.part"):
        shutil.rmtree(left_over, ignore_errors=True)
    with atomic_folder(path) as part:
        weights = part / "state.safetensors"
        with disk_errors(weights):
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, weights)
        record = {"format": FORMAT, "step": step, "sha256": hash_file(weights), "scalars": scalars}
        write_json(part / "checkpoint.json", sealed(record | {"extra": dict(extra or {})}))
    for old in _newest_first(folder)[kept:]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def load_latest_checkpoint(folder: Path, model: nn.Module, optimizer: Optimizer) -> Checkpoint | None:
    """Restore the newest whole checkpoint, or return None when there is none.

    A damaged one is said and skipped; one of a newer format is an error, since skipping it would lose its work.
    """
    for path in _newest_first(folder):
        try:
            record, tensors = _read(path)
        except NewerFormat:
            raise
        except (UserError, SafetensorError, OSError, KeyError, TypeError) as error:
            say(f"skipped the damaged checkpoint {path.name}: {error}")
            continue
        _restore(model, optimizer, tensors, record["scalars"], path)
        own = {name.removeprefix("extra/"): value for name, value in tensors.items() if name.startswith("extra/")}
        return Checkpoint(record["step"], record["extra"], own)
    return None


class NewerFormat(UserError):
    """The checkpoint was written by a later version."""


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    record = unsealed(read_json(path / "checkpoint.json"), path / "checkpoint.json")
    if record.get("format", 0) > FORMAT:
        raise NewerFormat(
            "the checkpoint was written by a newer Fourfold",
            where=path,
            expected=f"format {FORMAT} or less",
            got=record["format"],
            advice="Update Fourfold, or remove the folder to start this stage anew.",
        )
    weights = path / "state.safetensors"
    if hash_file(weights) != record["sha256"]:
        raise UserError("the bytes do not match their SHA-256", where=weights.name)
    return {key: record[key] for key in ("step", "scalars", "extra")}, load_file(weights)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that train (a tied one once) and persistent buffers."""
    kept = model.state_dict()
    buffers = {name: value for name, value in model.named_buffers() if name in kept}
    return {name: value for name, value in model.named_parameters() if value.requires_grad} | buffers


def _optimizer_state(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, str, Any]]:
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            yield name, key, value


def _restore(
    model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any], path: Path
) -> None:
    current = _trained(model)
    stored = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    if {name: value.shape for name, value in stored.items()} != {name: value.shape for name, value in current.items()}:
        raise UserError(
            "the checkpoint belongs to another model", where=path, advice="Remove the folder to start this stage anew."
        )
    with torch.no_grad():
        for name, value in stored.items():
            current[name].copy_(value)
    optimizer.state.clear()
    for full_name, value in {**tensors, **scalars}.items():
        if full_name.startswith("optimizer/"):
            name, key = full_name.removeprefix("optimizer/").rsplit("/", 1)
            parameter = current[name]
            # Adam keeps its step counter on the CPU unless it is fused on another device.
            on_device = isinstance(value, Tensor) and value.ndim > 0
            optimizer.state[parameter][key] = value.to(parameter.device) if on_device else value
