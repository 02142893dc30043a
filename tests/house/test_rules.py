"""House rules that a machine can hold: packages, printing, paths, dependencies."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "fourfold"
PYTHON_FILES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LAZY = {"fourfold/__init__.py"}  # imports on first use, so that `--help` does not wait for torch

IMPORT_NAMES = {"import-linter": "importlinter", "python-docx": "docx", "python-pptx": "pptx"}
PARTS = {"pydantic_core": "pydantic", "markupsafe": "jinja2", "starlette": "fastapi"}
"""Packages that another one is made of, and that its documentation tells to import."""


def label(path: Path) -> str:
    return path.relative_to(SOURCE.parent).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def is_listing(node: ast.stmt) -> bool:
    """A docstring, an import, or `__all__ = [...]`."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)] == ["__all__"]


def test_packages_only_list_their_public_names() -> None:
    busy = [
        label(path)
        for path in PYTHON_FILES
        if path.name == "__init__.py" and label(path) not in LAZY and not all(map(is_listing, tree(path).body))
    ]
    assert not busy, f"more than docstring, imports and __all__ in {busy}"


def test_every_package_has_a_docstring() -> None:
    silent = [label(path) for path in PYTHON_FILES if path.name == "__init__.py" and not ast.get_docstring(tree(path))]
    assert not silent


def test_nothing_below_the_command_line_prints() -> None:
    printing = [
        f"{label(path)}:{node.lineno}"
        for path in PYTHON_FILES
        if path.relative_to(SOURCE).parts[0] not in ("cli", "studio")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def test_no_dangerous_loading() -> None:
    dangerous = re.compile(r"\b(import pickle|pickle\.load|torch\.load\(|shell=True|trust_remote_code=True|eval\()")
    method = re.compile(r"[.\w]eval\(")
    found = [
        f"{label(path)}:{number}"
        for path in PYTHON_FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if dangerous.search(method.sub("", line.split("#")[0]))
    ]
    assert not found


def test_no_machine_paths() -> None:
    # Put together here, so that this file does not hold what it forbids.
    paths = "|".join(("work", "tmp", "root", "home", "Users"))
    path_of_a_machine = re.compile(rf"(?<![\w.~}}<])/(?:{paths})/\w")
    found = []
    for path in tracked_files():
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if path_of_a_machine.search(line)]
    assert not found


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["project"]["dependencies"]]
    for extra in extras or PROJECT["project"]["optional-dependencies"]:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    names = [re.split(r"[<>=!~\[; ]", line)[0] for line in lines]
    return {IMPORT_NAMES.get(name, name).replace("-", "_").lower() for name in names}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_every_import_is_declared() -> None:
    extras = ("quickstart", "serving", "constraints", "transformers", "hub", "documents", "evaluation")
    known = declared(*extras) | set(sys.stdlib_module_names) | {"fourfold"}
    known |= {part for part, whole in PARTS.items() if whole in known}
    foreign = {label(path): sorted(imported(path) - known) for path in PYTHON_FILES if imported(path) - known}
    assert not foreign, f"imports that no extra declares: {foreign}"


def test_torch_is_bounded_so_that_nothing_pulls_a_newer_one() -> None:
    assert "torch>=2.9,<2.14" in PROJECT["project"]["dependencies"]


def test_every_dependency_has_its_reason_written() -> None:
    reasons = (ROOT / "docs" / "decisions" / "003-dependencies.md").read_text("utf-8")
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.split(r"[<>=!~\[; ]", line)[0] for line in lines}
    missing = sorted(name for name in names if f"`{name}`" not in reasons)
    assert not missing


def test_layer_contract_names_every_layer() -> None:
    """import-linter itself runs in `make check`; here: the contract is the picture of the design, in order."""
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [re.sub(r"[() ]", "", layer) for layer in layers]
    assert order == [
        "cli|studio", "serving", "workflow", "evaluation", "utilization", "adaptation", "pretraining",
        "training|inference", "resources", "models", "tokenizers",
        "measures|sandbox|kernels", "progress|files|launch", "errors",
    ]  # fmt: skip


def test_every_file_named_in_the_paper_index_exists() -> None:
    text = (ROOT / "docs" / "papers.md").read_text("utf-8")
    named = re.findall(r"`([a-z_0-9/]+(?:\.py|/))`", text)
    assert len(named) > 20
    assert not [name for name in named if not (SOURCE / name).exists() and not (ROOT / name).exists()]
