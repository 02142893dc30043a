"""What the command line says, and where: results on stdout, progress and remarks on stderr.

Every command ends with `finish`, which says where the result is and what to do next.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from fourfold.launch import follows

resume_command: ContextVar[str | None] = ContextVar("resume_command", default=None)
"""What Ctrl-C tells the user to run; commands that keep their finished work set it."""


def say(text: str) -> None:
    """A remark on stderr."""
    print(text, file=sys.stderr)


def show(text: str = "") -> None:
    """A line of the result, on stdout."""
    print(text)


def show_json(value: object) -> None:
    """The result as JSON, on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def finish(
    *,
    where: Path | str | None = None,
    what: str = "Result",
    next_command: Sequence[object] = (),
    result_on_stdout: bool = True,
) -> None:
    """The last line: where the result is, or `what` else stands there, and the next command.

    It goes to stdout with the result, or to stderr where stdout is the result itself
    (a generated text, JSON) and a reader would trip over it. Of processes that work together the first says it.
    """
    if follows():
        return
    parts = [f"{what}: {where}"] if where is not None else []
    parts += [f"Next: {command_line(next_command)}"] if next_command else []
    line = "   ".join(parts)
    if where is not None and result_on_stdout:
        show(line)
    else:
        say(line)


def command_line(words: Sequence[object]) -> str:
    """`fourfold` and the words, quoted for a shell; words in capitals stand for what the user fills in."""
    return shlex.join(["fourfold", *map(str, words)])


def show_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> None:
    """Rows as aligned columns; `columns` maps a key to its heading and gives the order."""
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    columns = columns or {key: key for key in (rows[0] if rows else {})}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, heading in columns.items():
        numeric = any(isinstance(row.get(key), int | float) and not isinstance(row.get(key), bool) for row in rows)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(key)) for key in columns))
    Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False).print(table)


def cell(value: object) -> str:
    """One value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _plain(value: object) -> object:
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """A time a person can read: `42 s`, `11 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:,.0f} days"


def between(seconds: float, spread: float) -> str:
    """`11 ± 2 min`; without a spread the time alone."""
    units = (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 259_200), ("days", 86400, 3.2e7))
    unit, size = next(((name, size) for name, size, limit in units if seconds < limit), ("years", 31_557_600))
    around = f" ± {max(spread / size, 1):,.0f}" if spread else ""
    return f"{seconds / size:,.0f}{around} {unit}"


def open_in_browser(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        say(f"No browser could be started; open {path} yourself.")
