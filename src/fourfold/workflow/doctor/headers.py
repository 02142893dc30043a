"""Weights opened: headers of safetensors files and the index of shards against what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fourfold.workflow.doctor.files import INDEX, WEIGHTS, pointer_size, read_table
from fourfold.workflow.doctor.findings import Finding, kind, listed
from fourfold.workflow.doctor.tensors import HeaderError, SafeTensors, Stored, read_header

DAMAGED = kind("weights-damaged")
CUT = kind("weights-truncated")
TRAILING = kind("weights-trailing")
MISPLACED = kind("tensor-misplaced")
INDEX_BROKEN = kind("index-broken")
SHARD_MISSING = kind("shard-missing")
INDEX_WRONG = kind("index-wrong")
UNLISTED = kind("shard-unlisted")
KINDS = (DAMAGED, CUT, TRAILING, MISPLACED, INDEX_BROKEN, SHARD_MISSING, INDEX_WRONG, UNLISTED)


def open_weights(folder: Path, adapter: bool) -> tuple[SafeTensors | None, list[Finding]]:
    """The tensors of a folder by name, and what is wrong with the files that hold them."""
    name = "adapter_model.safetensors" if adapter else WEIGHTS
    if not (folder / name).is_file() and not adapter and (folder / INDEX).is_file():
        return _open_shards(folder)
    if not (folder / name).is_file():
        return None, []
    entries, troubles = open_file(folder / name)
    return (SafeTensors(entries) if entries else None), troubles


def open_file(path: Path) -> tuple[dict[str, Stored], list[Finding]]:
    """One safetensors file."""
    if pointer_size(path) is not None or not path.stat().st_size:
        return {}, []  # told already
    try:
        header = read_header(path)
    except (HeaderError, OSError) as error:
        return {}, [DAMAGED.at(path.name, reason=error)]
    troubles = [
        MISPLACED.at(f"{path.name}: {tensor}", tensor=tensor, reason=why) for tensor, why in header.misplaced.items()
    ]
    if header.lacking > 0:
        cut = next(name for name, entry in header.entries.items() if not entry.whole)
        troubles.append(CUT.at(path.name, bytes=f"{header.lacking:,}", tensor=cut))
    elif header.lacking < 0 and not header.misplaced:
        troubles.append(TRAILING.at(path.name, bytes=f"{-header.lacking:,}"))
    return header.entries, troubles


def _open_shards(folder: Path) -> tuple[SafeTensors | None, list[Finding]]:
    places: Any = read_table(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        return None, [INDEX_BROKEN.at(INDEX)]
    entries: dict[str, Stored] = {}
    troubles: list[Finding] = []
    for file in sorted(set(places.values())):
        named = [name for name, place in places.items() if place == file]
        if Path(file).name != file or not (folder / file).is_file():
            troubles.append(SHARD_MISSING.at(INDEX, names=file, tensors=len(named)))
            continue
        found, wrong = open_file(folder / file)
        troubles += wrong
        strays = [name for name in named if name not in found] if found else []
        if strays:
            troubles.append(INDEX_WRONG.at(INDEX, names=listed(strays)))
        entries |= found
    others = {path.name for path in folder.glob("model-*.safetensors")} - set(places.values())
    if others:
        troubles.append(UNLISTED.at(min(others), names=listed(sorted(others))))
    return (SafeTensors(entries) if entries else None), troubles
