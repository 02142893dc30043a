"""What a finished claim leaves: results.json, figures in three formats, CSV, BibTeX, methods and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from fourfold.files import atomic_file, write_json, write_text
from fourfold.progress import say
from fourfold.workflow.claims.catalogue import references
from fourfold.workflow.claims.drawing import draw
from fourfold.workflow.claims.methods import write_methods
from fourfold.workflow.claims.page import write_page
from fourfold.workflow.claims.results import Results, Took, measures_of, record
from fourfold.workflow.claims.spec import Claim, Size
from fourfold.workflow.report.plotting import can_plot


def write_bundle(claim: Claim, size: Size, results: Results, took: Took, folder: Path) -> None:
    """Write every file of the bundle; results.json is the last."""
    figures = folder / "figures"
    drawn = []
    if can_plot():
        for figure in claim.figure:
            tries = claim.tuned is not None and claim.tuned.axis in (figure.series, figure.x)
            picture = draw(claim, size, figure, results.rows if tries else results.tuned, results.curves)
            write_text(figures / f"{figure.name}.svg", picture.svg)
            for ending, content in (("png", picture.png), ("pdf", picture.pdf)):
                with atomic_file(figures / f"{figure.name}.{ending}") as stream:
                    stream.write(content)
            drawn.append(figure)
    else:
        say("No figures: matplotlib is not installed (the extra quickstart).")
    write_text(folder / "results.csv", numbers_csv(claim, results))
    for name in results.curves:
        write_text(folder / f"{name}.csv", curve_csv(claim, results, name))
    write_text(folder / "references.bib", bibtex(claim.cites))
    write_text(folder / "methods.md", write_methods(claim, size, results) + "\n")
    write_text(folder / "page.md", write_page(claim, size, results, took, drawn))
    write_json(folder / "results.json", record(claim, size, results, took))


def numbers_csv(claim: Claim, results: Results) -> str:
    """A line a run: its labels, its seed, its numbers."""
    names = measures_of(claim)
    axes = [axis.name for axis in claim.axis]
    lines = ([*(row.labels[axis] for axis in axes), row.seed, *(row.numbers[name] for name in names)]
             for row in results.rows)  # fmt: skip
    return _csv([*axes, "seed", *names], lines)


def curve_csv(claim: Claim, results: Results, name: str) -> str:
    """A line a point."""
    axes = [axis.name for axis in claim.axis]
    lines = ([*(curve.labels[axis] for axis in axes), curve.seed, at, value]
             for curve in results.curves[name] for at, value in curve.points)  # fmt: skip
    return _csv([*axes, "seed", "at", name], lines)


def _csv(header: list[str], lines: Iterable[list[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return stream.getvalue()


def bibtex(keys: Iterable[str]) -> str:
    """The entries of these references."""
    entries = []
    for key in keys:
        fields = dict(references()[key])
        kind = fields.pop("entry")
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        entries.append(f"@{kind}{{{key},\n{lines}\n}}\n")
    return "\n".join(entries)
