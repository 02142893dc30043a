"""What a stopped run needs to go on: trained weights, buffers and optimizer state, as safetensors and JSON.

A process alone writes one file; the processes of a team write one each, and another number of processes may read them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from fourfold.errors import UserError
from fourfold.files import atomic_folder, disk_errors, hash_file, read_json, write_json
from fourfold.progress import say
from fourfold.training.seals import sealed, unsealed
from fourfold.training.stored import StoredTensors
from fourfold.training.team import ALONE, Team

FORMAT = 2
"""Goes up when what a checkpoint holds changes its meaning; a checkpoint without one is of format 0, read as 1."""
ONE_FILE = 1
"""The format of a process alone: all tensors in state.safetensors."""


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
    team: Team = ALONE,
) -> Path:
    """Write `folder/step-NNNNNNNN`, whole or not at all, and keep the last `kept`.

    `step` is the number of the next step to run; `extra` and `tensors` are the caller's own, tensors named like the
    parameters they belong to. Frozen parameters are not stored: whoever resumes builds the model the same way first.
    """
    path = folder / f"step-{step:08d}"
    state, scalars = _state(model, optimizer, tensors or {}, team)
    record = {"step": step, "scalars": scalars, "extra": dict(extra or {})}
    if team.together:
        _save_pieces(path, state, record, team)
    else:
        _prepare(folder)
        with atomic_folder(path) as part:
            weights = part / "state.safetensors"
            _save_file(state, weights)
            own = {"format": ONE_FILE, "sha256": hash_file(weights)}
            write_json(part / "checkpoint.json", sealed(own | record))
    if team.rank == 0:
        for old in _newest_first(folder)[kept:]:
            shutil.rmtree(old, ignore_errors=True)
    return path


def load_latest_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, *, team: Team = ALONE
) -> Checkpoint | None:
    """Restore the newest whole checkpoint, or return None when there is none.

    A damaged one is said and skipped; one of a newer format is an error, since skipping it would lose its work. A team
    skips what any of its processes finds damaged.
    """
    team.wait()
    for path in _newest_first(folder):
        problem = None
        try:
            record, stored = _open(path)
            found = _read(stored, record["scalars"], model, team, path)
        except Refused:
            raise
        except (UserError, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            problem = error
        if team.any(problem is not None):
            say(f"skipped the damaged checkpoint {path.name}: {problem or 'another process cannot read its part'}")
            continue
        _restore(model, optimizer, found)
        own = {name.removeprefix("extra/"): value for name, value in found.items() if name.startswith("extra/")}
        return Checkpoint(record["step"], record["extra"], own)
    return None


def hand_over(model: nn.Module, whole: nn.Module | None, folder: Path, team: Team) -> None:
    """Give `whole`, which the first process of a team has, the weights that the team has in pieces."""
    save_checkpoint(folder, model, SGD(model.parameters(), lr=0.0), 0, kept=1, team=team)
    if whole is not None:
        load_latest_checkpoint(folder, whole, SGD(whole.parameters(), lr=0.0))
    team.wait()


class Refused(UserError):
    """The checkpoint is whole, and may not be skipped as if it were damaged."""


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(".step-*.part"):
        shutil.rmtree(left_over, ignore_errors=True)


def _save_file(state: Mapping[str, Tensor], path: Path) -> None:
    with disk_errors(path):
        save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, path)


def _save_pieces(path: Path, state: Mapping[str, Tensor], record: Mapping[str, Any], team: Team) -> None:
    """Every process writes what it answers for and says what that is; the first one puts it all in place."""
    together = path.with_name(f".{path.name}.part")
    if team.rank == 0:
        _prepare(path.parent)
        together.mkdir()
    team.wait()
    name = f"state-{team.rank:05d}"
    pieces = {key: team.piece(value) for key, value in state.items()}
    _save_file({key: value for key, (_, value) in pieces.items()}, together / f"{name}.safetensors")
    own = {"file": f"{name}.safetensors", "sha256": hash_file(together / f"{name}.safetensors")}
    boxes = {key: list(piece) for key, (piece, _) in pieces.items()}
    write_json(together / f"{name}.json", {"part": own | {"tensors": boxes}, "scalars": record["scalars"]})
    team.wait()
    if team.rank == 0:
        with atomic_folder(path) as part:
            parts = [read_json(file) for file in sorted(together.glob("*.json"))]
            for file in together.glob("*.safetensors"):
                os.replace(file, part / file.name)
            scalars = {key: value for read in parts for key, value in read["scalars"].items()}
            listed = {"format": FORMAT, "parts": [read["part"] for read in parts]}
            write_json(part / "checkpoint.json", sealed(listed | dict(record) | {"scalars": scalars}))
        shutil.rmtree(together)
    team.wait()


def _open(path: Path) -> tuple[dict[str, Any], StoredTensors]:
    record = unsealed(read_json(path / "checkpoint.json"), path / "checkpoint.json")
    if record.get("format", 0) > FORMAT:
        raise Refused(
            "the checkpoint was written by a newer Fourfold",
            where=path,
            expected=f"format {FORMAT} or less",
            got=record["format"],
            advice="Update Fourfold, or remove the folder to start this stage anew.",
        )
    alone = [{"file": "state.safetensors", "sha256": record.get("sha256")}]
    stored = StoredTensors(path, record.get("parts", alone))
    return {key: record[key] for key in ("step", "scalars", "extra")}, stored


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that train (a tied one once) and persistent buffers."""
    kept = model.state_dict()
    buffers = {name: value for name, value in model.named_buffers() if name in kept}
    return {name: value for name, value in model.named_parameters() if value.requires_grad} | buffers


def _state(
    model: nn.Module, optimizer: Optimizer, extra: Mapping[str, Tensor], team: Team
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What this process answers for: tensors, and numbers of the optimizer that are none."""
    trained = _trained(model)
    owned = {name: value for name, value in trained.items() if team.owns(value)}
    tensors = {f"extra/{name}": value for name, value in extra.items() if team.owns(trained.get(name, value))}
    tensors |= {f"model/{name}": value for name, value in owned.items()}
    scalars: dict[str, Any] = {}
    for name, key, value in _optimizer_state(model, optimizer):
        if name not in owned:
            continue
        if isinstance(value, Tensor):
            tensors[f"optimizer/{name}/{key}"] = value
        else:
            scalars[f"optimizer/{name}/{key}"] = value
    return tensors, scalars


def _optimizer_state(model: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, str, Any]]:
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            yield name, key, value


def _read(
    stored: StoredTensors, scalars: Mapping[str, Any], model: nn.Module, team: Team, path: Path
) -> dict[str, Any]:
    """This process's part of everything stored, by full name; nothing is changed yet."""
    current, shapes = _trained(model), stored.shapes
    there = {name.removeprefix("model/"): shape for name, shape in shapes.items() if name.startswith("model/")}
    expected = {name: tuple(value.shape) for name, value in current.items()}
    if not team.complete:
        there = {name: shape for name, shape in there.items() if name in expected}
    if there != expected:
        raise Refused(
            "the checkpoint belongs to another model", where=path, advice="Remove the folder to start this stage anew."
        )
    found: dict[str, Any] = {}
    for full_name, shape in shapes.items():
        name = _parameter_of(full_name)
        if name not in current:
            if full_name.startswith("extra/"):
                found[full_name] = stored.read(full_name)
        elif shape == expected[name]:
            part = stored.read(full_name, team.piece(current[name])[0])
            found[full_name] = team.placed(part, current[name])
        else:
            found[full_name] = stored.read(full_name)
    return found | {name: value for name, value in scalars.items() if _parameter_of(name) in current}


def _parameter_of(full_name: str) -> str:
    """`model/NAME`, `extra/NAME` and `optimizer/NAME/KEY` belong to the parameter NAME."""
    kind, _, rest = full_name.partition("/")
    return rest.rsplit("/", 1)[0] if kind == "optimizer" else rest


@torch.no_grad()
def _restore(model: nn.Module, optimizer: Optimizer, found: Mapping[str, Any]) -> None:
    current = _trained(model)
    optimizer.state.clear()
    for full_name, value in found.items():
        name = _parameter_of(full_name)
        if full_name.startswith("model/"):
            current[name].copy_(value)
        elif full_name.startswith("optimizer/"):
            parameter = current[name]
            # Adam keeps its step counter on the CPU unless it is fused on another device.
            on_device = isinstance(value, Tensor) and value.ndim > 0
            key = full_name.rsplit("/", 1)[1]
            optimizer.state[parameter][key] = value.to(parameter.device) if on_device else value
