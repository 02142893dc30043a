"""The size budget: files of 300 lines, functions of 50, families of 60, constructors of 10 parameters.

A line `# budget: why` in the file (or just above or inside the function) argues an exception.
Run as a script, this prints the budget: lines a package, the longest files and functions.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fourfold"
FILE_LINES, FUNCTION_LINES, PARAMETERS = 300, 50, 10
FAMILY_LINES = 60
EXCUSE = "# budget:"


class Function(NamedTuple):
    where: str
    name: str
    lines: int
    parameters: int
    excused: bool


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def functions(path: Path) -> list[Function]:
    return list(_functions(path))


def _functions(path: Path) -> Iterator[Function]:
    lines = path.read_text("utf-8").splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            parameters = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
            end = node.end_lineno or node.lineno
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            excused = any(EXCUSE in line for line in lines[max(first - 2, 0) : end])
            yield Function(name_of(path), node.name, end - node.lineno + 1, parameters, excused)


def test_files_fit_the_budget() -> None:
    too_long = {}
    for path in files():
        text = path.read_text("utf-8")
        if len(text.splitlines()) > FILE_LINES and EXCUSE not in text:
            too_long[name_of(path)] = len(text.splitlines())
    assert not too_long, f"files over {FILE_LINES} lines: {too_long}"


def test_families_are_tables() -> None:
    """25 to 60 lines are the aim: what takes more is shared, and belongs to `models/interop`."""
    folder = SOURCE / "models" / "families"
    sizes = {path.name: len(path.read_text("utf-8").splitlines()) for path in folder.glob("*.py")}
    assert "llama.py" in sizes
    too_long = {name: lines for name, lines in sizes.items() if lines > FAMILY_LINES}
    assert not too_long, f"families over {FAMILY_LINES} lines: {too_long}"


def test_functions_fit_the_budget() -> None:
    found = [f for path in files() for f in functions(path) if f.lines > FUNCTION_LINES and not f.excused]
    assert not found, f"functions over {FUNCTION_LINES} lines: {found}"


def test_constructors_fit_the_budget() -> None:
    # self is one of the counted arguments, hence the + 1.
    found = [
        f for path in files() for f in functions(path)
        if f.name == "__init__" and f.parameters > PARAMETERS + 1 and not f.excused
    ]  # fmt: skip
    assert not found, f"constructors over {PARAMETERS} parameters: {found}"


def main() -> None:
    packages: Counter[str] = Counter()
    sizes = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in files()}
    for name, lines in sizes.items():
        packages[name.split("/")[0] if "/" in name else "(ground)"] += lines
    for package, lines in sorted(packages.items()):
        print(f"{lines:7,}  {package}")
    print(f"{sum(sizes.values()):7,}  in all, {len(sizes)} files")
    for name, lines in sorted(sizes.items(), key=lambda item: -item[1])[:3]:
        print(f"{lines:7,}  {name}")
    everything = [function for path in files() for function in functions(path)]
    for function in sorted(everything, key=lambda f: -f.lines)[:3]:
        print(f"{function.lines:7,}  {function.where} {function.name}()")


if __name__ == "__main__":
    main()
