"""Registered runs: a finished claim's page and figures put among the docs, and the indices made from them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, read_text, write_json, write_text
from fourfold.workflow.claims.catalogue import CATALOGUE, by_section, references
from fourfold.workflow.claims.listing import CHAPTERS, REGISTERED, VERDICTS_ZH, chapter_of, short_reference
from fourfold.workflow.claims.quantities import QUANTITIES

KEPT = ("results.json", "results.csv", "references.bib", "manifest.json")
INDEX, INDEX_ZH = "README.md", "README.zh.md"
HEAD = """# Claims of the survey, and whether our small runs agree

[中文](README.zh.md)

Each statement is checked by an experiment whose rule stands in its claim file before it is run, with at
least three seeds. *Agrees* and *disagrees* speak of models of this size on this text, not of the survey's.
*Detectable* is the smallest advantage that the least certain of the deciding comparisons would show four times out of
five. `fourfold claim list` shows all claims, the command repeats one; minutes are those of the registered run by
the clock of a machine that had other work as well, those of processor time in brackets.
"""
HEAD_ZH = """# 综述中的论断，以及我们的小规模实验是否一致

[English](README.md)

每个论断都由一个实验检验：判定规则在运行之前就写在论断文件里，至少三个随机种子。
“一致”与“不一致”只针对这种规模的模型和这些文本。
“可检出差异”指最不确定的那个判定性比较以五次中四次的把握能显示出的最小优势。
`fourfold claim list` 列出全部论断，用所列命令可重做一个；
分钟数是登记的那次运行的挂钟时间（当时机器上还有别的任务），括号内为处理器时间。
"""


def register(runs: Sequence[Path], docs: Path) -> Path:
    """Copy the page, the figures as SVG and the numbers of finished runs into `docs`; returns the index.

    With no runs the indices are written anew. Where `docs` belongs to the sources that run, what was found is
    also written beside the claim files, so that `fourfold claim list` knows it wherever the library is.
    """
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
    write_text(docs / INDEX, index_page(docs))
    write_text(docs / INDEX_ZH, index_page(docs, "zh"))
    if CATALOGUE.is_relative_to(docs.resolve().parent.parent):
        write_json(REGISTERED, registered(docs))
    return docs / INDEX


def registered(docs: Path) -> dict[str, dict[str, Any]]:
    """What the runs in `docs` found, by claim."""
    return {record["claim"]: _found(record, docs / record["claim"]) for record in _records(docs)}


def index_page(docs: Path, language: str = "en") -> str:
    """The index of the runs registered in `docs`, in the survey's order, by its chapters."""
    records, found = _records(docs), registered(docs)
    lines = [HEAD if language == "en" else HEAD_ZH]
    for chapter, members in groupby(records, key=lambda record: chapter_of(record["section"])):
        lines.append(f"## {CHAPTERS[chapter].model_dump()[language]}\n")
        lines += _heading(language)
        lines += [_row(record, found[record["claim"]], language) for record in members]
        lines.append("")
    return "\n".join(lines)


def _records(docs: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [read_json(path) for path in docs.glob("*/results.json")]
    return sorted(records, key=lambda record: by_section(record["section"], record["claim"]))


def _heading(language: str) -> list[str]:
    english = "| Section | Statement | Command | Models | Minutes | Our run | Detectable |"
    chinese = "| 章节 | 论断 | 命令 | 模型 | 分钟 | 本次实验 | 可检出差异 |"
    return [english if language == "en" else chinese, "|---|---|---|---|---|---|---|"]


def _row(record: Mapping[str, Any], found: Mapping[str, Any], language: str) -> str:
    keys = [key for key in record.get("cites", ()) if key in references()]
    cites = "; ".join(short_reference(key) for key in keys)
    statement = f"[{record['title'][language]}]({record['claim']}.md)<br>{record['statement'][language]}"
    verdict = found["verdict"] if language == "en" else found["verdict_zh"]
    detectable = found["detectable"]
    cells = [
        record["section"],
        statement + (f"<br>({cites})" if cites else ""),
        f"`fourfold claim run {record['claim']} --{record['size']}`",
        record["runs_on"][language] if "runs_on" in record else "",
        _minutes(record),
        f"**{verdict}**",
        f"{detectable['value']:.3f}<br>{detectable['unit'][language]}",
    ]
    return f"| {' | '.join(cells)} |"


def _minutes(record: Mapping[str, Any]) -> str:
    """By the clock, and of the processor where that was measured."""
    processor = record.get("processor_seconds")
    return f"{record['seconds'] / 60:.0f}" + (f" ({processor / 60:.1f})" if processor else "")


def _found(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the index and `fourfold claim list` say of a run."""
    deciding = [comparison for comparison in record["comparisons"] if comparison["decides"]]
    widest = max(deciding, key=lambda comparison: float(comparison["detectable"]))
    measured = QUANTITIES[widest["measure"]]
    manifest = read_json(folder / "manifest.json")
    return {
        "size": record["size"],
        "verdict": record["verdict"],
        "verdict_zh": VERDICTS_ZH[record["verdict"]],
        "sentence": record["sentence"],
        "detectable": {"value": widest["detectable"], "unit": {"en": measured.label, "zh": measured.zh}},
        "seconds": record["seconds"],
        "processor": manifest["machine"].get("processor"),
        "date": str(manifest["sittings"][-1]["ended"])[:10],
    }
