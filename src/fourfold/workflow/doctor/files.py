"""Are the files there, whole, and what they say they are?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourfold.tokenizers import has_tokenizer
from fourfold.workflow.doctor.findings import Check, Outcome, Words, kind, listed
from fourfold.workflow.doctor.model import Model

JSON_BYTES = 200_000_000
"""A larger JSON file is not read; the largest tokenizers take some 35 MB."""
POINTER = b"version https://git-lfs.github.com/spec/"
PARTIAL = (".incomplete", ".part", ".crdownload", ".aria2", ".download")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WORDS_FILE = "words.json"

CONFIG_MISSING = kind("config-missing")
WEIGHTS_MISSING = kind("weights-missing")
PICKLE_ONLY = kind("weights-pickled")
POINTER_ONLY = kind("lfs-pointer")
HALF_FETCHED = kind("download-partial")
JSON_BROKEN = kind("json-broken")
TOKENIZER_MISSING = kind("tokenizer-missing")
EMPTY = kind("file-empty")


def check(model: Model) -> Iterator[Outcome]:
    if model.form in ("gguf", "arpa"):
        return
    folder = model.place
    files = sorted(path for path in folder.iterdir() if path.is_file())
    pointers = {path.name: size for path in files if (size := pointer_size(path)) is not None}
    for name, size in pointers.items():
        yield POINTER_ONLY.at(name, bytes=folder.joinpath(name).stat().st_size, size=f"{size:,}")
    yield from (EMPTY.at(path.name) for path in files if path.stat().st_size == 0 and is_part(path))
    partial = [path.name for path in folder.rglob("*") if path.name.endswith(PARTIAL)]
    if partial:
        yield HALF_FETCHED.at(partial[0], names=listed(partial))
    for path in files:
        if path.suffix == ".json" and path.name not in pointers and path.stat().st_size:
            reason = json_problem(path)
            if reason is not None:
                yield JSON_BROKEN.at(path.name, reason=reason)
    names = {path.name for path in files}
    if model.form == "folder" and "config.json" not in names:
        yield CONFIG_MISSING.at("config.json")
    yield from _weights(model, names)
    if model.form != "adapter" and not has_tokenizer(folder) and WORDS_FILE not in names:
        yield TOKENIZER_MISSING.at("tokenizer.json")


def _weights(model: Model, names: set[str]) -> Iterator[Outcome]:
    wanted = "adapter_model.safetensors" if model.form == "adapter" else WEIGHTS
    if wanted in names or (model.form != "adapter" and INDEX in names):
        return
    pickles = sorted(name for name in names if name.endswith(PICKLES) and not name.startswith("training_args"))
    if pickles:
        yield PICKLE_ONLY.at(pickles[0])
    else:
        yield WEIGHTS_MISSING.at(wanted, expected=wanted)


def is_part(path: Path) -> bool:
    """A file that a model is made of; others may well be empty."""
    return path.suffix in (".json", ".safetensors", ".gguf", *PICKLES)


def pointer_size(path: Path) -> int | None:
    """The size of the file that a Git LFS pointer stands for; None for a file that is itself."""
    if path.stat().st_size > 1024:
        return None
    head = path.read_bytes()
    if not head.startswith(POINTER):
        return None
    sizes = [line.split()[1] for line in head.splitlines() if line.startswith(b"size ") and len(line.split()) == 2]
    return int(sizes[0]) if sizes and sizes[0].isdigit() else 0


def json_problem(path: Path) -> str | None:
    """Why a file is no JSON table or list."""
    if path.stat().st_size > JSON_BYTES:
        return f"{path.stat().st_size:,} bytes, which no model needs"
    try:
        value = json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        return f"not UTF-8 text at byte {error.start:,}"
    except json.JSONDecodeError as error:
        return f"{error.msg} in line {error.lineno}"
    except (RecursionError, ValueError) as error:
        return str(error)[:80] or "nested too deeply"
    return None if isinstance(value, dict | list) else "a single value"


def read_table(path: Path) -> dict[str, Any]:
    """The table in a JSON file; empty where there is none, which `check` has told."""
    if not path.is_file() or pointer_size(path) is not None or path.stat().st_size > JSON_BYTES:
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


CHECK: Check[Model] = Check(
    title=Words("Files", "文件"),
    run=check,
    kinds=(CONFIG_MISSING, WEIGHTS_MISSING, PICKLE_ONLY, POINTER_ONLY, HALF_FETCHED, JSON_BROKEN, TOKENIZER_MISSING,
           EMPTY),
)  # fmt: skip
