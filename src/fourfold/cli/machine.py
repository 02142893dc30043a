"""`fourfold info`: this machine and what Fourfold can do on it."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import Any

import typer

from fourfold.cli.console import finish, gigabytes, show, show_json, show_table
from fourfold.cli.options import HOUSE, Json

commands = typer.Typer()


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold info --json")
def info(as_json: Json = False) -> None:
    """Versions, processor, memory, the precision chosen, installed extras, and what each kind of model can do."""
    from fourfold.inference import capabilities_table
    from fourfold.training import choose_precision
    from fourfold.workflow.machine import describe_machine

    machine = {
        **describe_machine(),
        "precision": str(choose_precision()),
        "kernels": _kernels(),
        "extras": installed_extras(),
    }
    abilities = [row._asdict() for row in capabilities_table()]
    if as_json:
        show_json({**machine, "capabilities": abilities})
    else:
        for key, value in machine.items():
            if key == "memory_bytes":
                key, value = "memory", gigabytes(value) if value else "unknown"
            show(f"{key:10} {_line(value)}")
        show()
        show_table(abilities)
    finish(next_command=["models", "list"], result_on_stdout=False)


def _kernels() -> str:
    """What multiplies packed weights here, and why."""
    from fourfold.kernels import INSTRUCTIONS, kernels

    running = kernels()
    return f"{INSTRUCTIONS.get(running.name, 'torch alone')}: {running.why}"


def installed_extras() -> dict[str, str]:
    """Extra → "installed", or what is missing."""
    found: dict[str, list[str]] = {}
    for line in metadata("fourfold").get_all("Requires-Dist") or []:
        requirement, _, condition = line.partition(";")
        if "extra ==" not in condition:
            continue
        extra = tomllib.loads(condition.partition("extra ==")[2].join(("name = ", "")).split(" and ")[0])["name"]
        package = requirement.split("[")[0]
        for mark in "<>=!~ ":
            package = package.split(mark)[0]
        found.setdefault(extra, [])
        if not _installed(package):
            found[extra].append(package)
    return {extra: f"lacks {', '.join(missing)}" if missing else "installed" for extra, missing in found.items()}


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _line(value: Any) -> str:
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
