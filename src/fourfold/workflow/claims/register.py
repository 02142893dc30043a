"""Registered runs: a finished claim's page and figures put among the docs, and the index made from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, read_text, write_text

KEPT = ("results.json", "results.csv", "references.bib", "manifest.json")
INDEX = "README.md"


def register(runs: Sequence[Path], docs: Path) -> Path:
    """Copy the page, the figures as SVG and the numbers of finished runs into `docs`; returns the index."""
    for run in runs:
        if not (run / "results.json").is_file():
            raise UserError("no finished claim", where=run, advice="Make one with: fourfold claim run NAME")
        name = read_json(run / "results.json")["claim"]
        with atomic_folder(docs / name) as folder:
            for file in KEPT:
                shutil.copyfile(run / file, folder / file)
            for figure in sorted((run / "figures").glob("*.svg")):
                shutil.copyfile(figure, folder / figure.name)
        write_text(docs / f"{name}.md", read_text(run / "page.md").replace("](figures/", f"]({name}/"))
    index = docs / INDEX
    write_text(index, index_page(docs))
    return index


def index_page(docs: Path) -> str:
    """The index of the runs registered in `docs`, in the survey's order."""
    records: list[dict[str, Any]] = [read_json(path) for path in docs.glob("*/results.json")]
    records.sort(key=lambda record: (record["section"], record["claim"]))
    lines = [
        "# Claims of the survey, and whether our small runs agree",
        "",
        "Each statement is checked by an experiment whose rule stands in its claim file before it is run, with at",
        "least three seeds. *Agrees* and *disagrees* speak of models of this size on this text, not of the survey's.",
        "`fourfold claim list` shows the claims, `fourfold claim run NAME` repeats one.",
        "",
        "| Section | Statement | Our run | Size | Minutes |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        title = f"[{record['title']['en']}]({record['claim']}.md)<br>{record['title']['zh']}"
        minutes = f"{record['seconds'] / 60:.0f}"
        lines.append(f"| {record['section']} | {title} | **{record['verdict']}** | {record['size']} | {minutes} |")
    return "\n".join(lines) + "\n"
