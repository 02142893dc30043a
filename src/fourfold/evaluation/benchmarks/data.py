"""A benchmark's items and demonstrations from a file, a folder or the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fourfold.errors import UserError
from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data
from fourfold.evaluation.benchmarks.records import SUFFIXES, records_in
from fourfold.evaluation.benchmarks.splits import SplitFile, split_files, told_by
from fourfold.evaluation.task import Item
from fourfold.resources import hub_snapshot

RULE = "the first of the split, of the same subject where there are subjects; none of them is asked"


def load_data(benchmark: Benchmark, place: str | None, shots: int = 0, shots_from: str | None = None) -> Data:
    """The items of `place` (a file or folder; None: the hub) and the first `shots` solved ones to show before them.

    Demonstrations are of the split the benchmark names, in a folder or on the hub; for a file, of `shots_from`,
    which may be the same file. Items that serve as demonstrations are not asked.
    """
    folder, source = (Path(place), place) if place is not None else _from_hub(benchmark)
    alone = folder.is_file()
    files = [told_by(folder)] if alone else split_files(folder)
    asked = files if alone else _of_split(benchmark, files, folder)
    items = _items(benchmark, asked)
    if not items:
        raise UserError("no questions here", where=folder)
    setting: dict[str, object] = {"source": source, "split": asked[0].split or "unnamed", "shots": shots}
    if not shots:
        return Data(items=items, setting=setting)
    if not benchmark.shots:
        raise UserError(f"{benchmark.title} is asked without demonstrations of its own data", expected="--shots 0")
    shown = _shown(benchmark, _shot_files(benchmark, files, asked, shots_from), shots)
    short = [item.subject for item in items if len(shown.get(item.subject, ())) < shots]
    if short:
        about = f" about {short[0]}" if short[0] else ""
        got = len(shown.get(short[0], ()))
        raise UserError(f"too few demonstrations{about} for {benchmark.name}", expected=shots, got=got)
    hashes = {item.hash for solved in shown.values() for item in solved}
    kept = [item for item in items if item.hash not in hashes]
    setting |= {"shots_rule": RULE, "left_out": len(items) - len(kept)}
    if not kept:
        raise UserError("every question is a demonstration", where=folder, advice="Take fewer --shots.")
    return Data(items=kept, demonstrations=shown, setting=setting)


def _items(benchmark: Benchmark, files: Sequence[SplitFile]) -> list[Item]:
    return [benchmark.read(record) for file in files for record in records_in(file.path, file.subject)]


def _of_split(benchmark: Benchmark, files: Sequence[SplitFile], folder: Path) -> list[SplitFile]:
    names = {file.split for file in files}
    split = benchmark.split if benchmark.split in names else next(iter(names)) if len(names) == 1 else None
    if split is None:
        got = ", ".join(sorted(name for name in names if name)) or "no files of records"
        advice = f"Name the file: --tasks {benchmark.name}@FILE."
        raise UserError(f"no {benchmark.split} split", where=folder, got=got, advice=advice)
    return [file for file in files if file.split == split]


def _shot_files(
    benchmark: Benchmark, files: Sequence[SplitFile], asked: Sequence[SplitFile], shots_from: str | None
) -> list[SplitFile]:
    if shots_from is not None:
        path = Path(shots_from)
        if path.is_file():
            return [told_by(path)]
        files = split_files(path)
    for split in benchmark.shots_splits:
        found = [file for file in files if file.split == split and file not in asked]
        if found:
            return found
    raise UserError(
        f"no demonstrations for {benchmark.name}",
        expected=f"a split named {' or '.join(benchmark.shots_splits)}",
        advice=f"Name a file with --shots-from {benchmark.name}@FILE; the file of the questions will do, its first"
        " ones are then not asked.",
    )


def _shown(benchmark: Benchmark, files: Sequence[SplitFile], shots: int) -> dict[str, list[Item]]:
    shown: dict[str, list[Item]] = {}
    read = benchmark.worked or (lambda record: [benchmark.read(record)])
    records = (record for file in files for record in records_in(file.path, file.subject))
    for item in (item for record in records for item in read(record)):
        of_subject = shown.setdefault(item.subject, [])
        if len(of_subject) < shots:
            of_subject.append(item)
    return shown


def _from_hub(benchmark: Benchmark) -> tuple[Path, str]:
    """The folder of the benchmark's files, and where they are from, to the commit."""
    hub = benchmark.hub
    if hub is None:
        raise UserError(
            f"{benchmark.title} is not on the hub in a form that can be read",
            advice=f"Give a file: --tasks {benchmark.name}@FILE.",
        )
    below = f"{hub.folder}/" if hub.folder else ""
    patterns = [f"{below}*{suffix}" for suffix in SUFFIXES]
    snapshot = hub_snapshot(hub.repository, hub.revision, kind="dataset", patterns=patterns)
    return snapshot / hub.folder, f"hf:{hub.repository}@{snapshot.name}"
