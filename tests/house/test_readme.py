"""The README tells the truth: its tree is the tree, its commands are the commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.core
import typer.main

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.zh.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def tree_entries(readme: str) -> dict[str, str]:
    """{path: clause} of the block that opens with `src/fourfold/`; depth is two spaces a level."""
    blocks = [body for _, body in BLOCK.findall((ROOT / readme).read_text("utf-8")) if body.startswith("src/fourfold/")]
    assert len(blocks) == 1, f"{readme} must show the tree once"
    entries: dict[str, str] = {}
    parents: list[str] = []
    for line in blocks[0].splitlines():
        depth = (len(line) - len(line.lstrip(" "))) // 2
        names, _, clause = line.strip().partition("  ")
        parents = parents[:depth]
        for name in names.split(", "):
            entries["".join(parents) + name] = clause.strip()
        parents.append(names)
    return entries


def packages() -> list[str]:
    found = (ROOT / "src" / "fourfold").rglob("__init__.py")
    return sorted(path.parent.relative_to(ROOT).as_posix() + "/" for path in found)


def top_folders() -> list[str]:
    """Folders of the repo that hold something git would keep."""
    passing = {"runs", "build", "dist", "out", "src"}
    return sorted(
        f"{path.name}/"
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "_")) and path.name not in passing
    )


@pytest.mark.parametrize("readme", READMES)
def test_tree_has_every_package_and_folder_with_a_clause(readme: str) -> None:
    entries = tree_entries(readme)
    missing = [name for name in [*packages(), *top_folders()] if not entries.get(name)]
    assert not missing, f"{readme}: no entry with a clause for {missing}"


@pytest.mark.parametrize("readme", READMES)
def test_every_entry_of_the_tree_exists(readme: str) -> None:
    absent = [name for name in tree_entries(readme) if not (ROOT / name).exists()]
    assert not absent, f"{readme} shows what is not there: {absent}"


def commands(readme: str) -> Iterator[list[str]]:
    for language, body in BLOCK.findall((ROOT / readme).read_text("utf-8")):
        if language in ("bash", "sh", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["fourfold"]:
                    yield words[1:]


def parse(words: list[str]) -> None:
    """Parse a command line as the shell would, without running it."""
    from fourfold.cli import app

    command, path = typer.main.get_command(app), ["fourfold"]
    while isinstance(command, typer.core.TyperGroup):
        assert words, "the command stops at a group"
        name, words = words[0], words[1:]
        assert name in command.commands, f"no command '{name}'"
        command, path = command.commands[name], [*path, name]
    command.make_context(" ".join(path), words)


@pytest.mark.parametrize("readme", READMES)
def test_every_command_shown_parses(readme: str) -> None:
    shown = list(commands(readme))
    assert len(shown) >= 8
    for words in shown:
        try:
            parse(list(words))
        except (typer.TyperException, AssertionError) as error:
            pytest.fail(f"{readme}: fourfold {shlex.join(words)}: {error}")


def test_both_readmes_show_the_same_commands_and_tree() -> None:
    assert list(commands("README.md")) == list(commands("README.zh.md"))
    assert list(tree_entries("README.md")) == list(tree_entries("README.zh.md"))


@pytest.mark.parametrize("readme", READMES)
def test_every_make_target_shown_exists(readme: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shown = set(re.findall(r"\bmake (\w+)\b", (ROOT / readme).read_text("utf-8")))
    assert {"quickstart", "test"} <= shown <= targets


def test_every_benchmark_has_its_line() -> None:
    lines = re.findall(r"^\| `(\w+\.py)` \|", (ROOT / "benchmarks" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(lines) == sorted(path.name for path in (ROOT / "benchmarks").glob("*.py"))
