"""Run a claim: data, then every cell that is not done yet, then the verdict and its bundle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fourfold.errors import FourfoldError, Interrupted, UserError
from fourfold.files import hash_file, lock_folder, read_json, read_text, write_json, write_text
from fourfold.progress import say
from fourfold.workflow.claims.bundle import write_bundle
from fourfold.workflow.claims.catalogue import read_claim
from fourfold.workflow.claims.cells import Cell
from fourfold.workflow.claims.results import Results, Took, gather
from fourfold.workflow.claims.spec import Claim, Size
from fourfold.workflow.context import StageContext
from fourfold.workflow.fingerprint import code_fingerprint
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger, finished
from fourfold.workflow.machine import describe_machine
from fourfold.workflow.runner import remove_leftovers
from fourfold.workflow.store import ModelStore
from fourfold.workflow.training import remove_checkpoints

RESULT = "result.json"
"""What a finished cell measured."""


class Experiment(Protocol):
    """The cells of a claim at a size, and how one is made and measured."""

    cells: Sequence[Cell]
    code: tuple[str, ...]

    def keys(self) -> Mapping[str, str]:
        """What every cell's result depends on, as a hash."""

    def work(self, cell: Cell) -> float:
        """How much there is to do, in a unit of its own."""

    def make(self, context: StageContext, cell: Cell) -> Mapping[str, Any]:
        """Do it; returns what the cell's result holds."""

    def describe(self) -> Mapping[str, Any]:
        """The data."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One sitting."""

    claim: Claim
    size: Size
    folder: Path
    interrupts: Interrupts
    experiment: Experiment

    def cells(self) -> tuple[Results, Took]:
        """Make what is not there; returns the numbers and the time of all sittings."""
        cells, keys, work = self.experiment.cells, self.experiment.keys(), self.experiment.work
        missing = [cell for cell in cells if not self._is_done(cell, keys[cell.name])]
        if len(missing) < len(cells):
            say(f"{len(cells) - len(missing)} of {len(cells)} cells are there already")
        began, done, left = time.monotonic(), 0.0, sum(map(work, missing))
        for number, cell in enumerate(missing, len(cells) - len(missing) + 1):
            self._cell(cell, keys[cell.name])
            done, left = done + work(cell), left - work(cell)
            seconds = (time.monotonic() - began) * left / done
            say(f"{number} of {len(cells)}: {cell.title}" + (f"; about {remaining(seconds)} left" if left > 0 else ""))
        folders = [self._folder(cell) for cell in cells]
        seconds = sum(float((finished(folder) or {"seconds": 0.0})["seconds"]) for folder in folders)
        records = [read_json(folder / RESULT) for folder in folders]
        worked = [float(one["processor_seconds"]) for one in records if "processor_seconds" in one]
        took = Took(seconds=seconds, processor_seconds=sum(worked) if len(worked) == len(records) else 0.0)
        return gather(self.claim, self.size, records, self.experiment.describe()), took

    def _cell(self, cell: Cell, key: str) -> None:
        ledger = Ledger(self._folder(cell), key)
        context = StageContext(
            name=cell.name,
            folder=ledger.folder,
            run_folder=self.folder,
            seed=cell.seed,
            stages={},
            models=ModelStore({}),
            interrupts=self.interrupts,
            ledger=ledger,
        )
        began = time.process_time()
        try:
            found = self.experiment.make(context, cell)
            write_json(ledger.folder / RESULT, {**found, "processor_seconds": time.process_time() - began})
        except BaseException:
            ledger.save()
            raise
        ledger.finish()
        if cell.name not in {other.after for other in self.experiment.cells}:
            remove_checkpoints(ledger.folder)

    def _folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.name

    def _is_done(self, cell: Cell, key: str) -> bool:
        record = finished(self._folder(cell))
        return record is not None and record["key"] == key and (self._folder(cell) / RESULT).is_file()


def make_experiment(claim: Claim, size: Size, folder: Path, model: str | None, data: Path | None) -> Experiment:
    """Of models of our own, or of one that is there; imported here, as listing claims must not wait for torch."""
    if claim.questions is not None:
        from fourfold.workflow.claims.asking import AskedModels

        return AskedModels(claim, size, model, data)
    if claim.labelled is not None and model is None:
        from fourfold.workflow.claims.labelling import FeatureModels

        return FeatureModels(claim, size, folder, data)
    if model is not None or data is not None:
        option = "--data" if model is None else "--model"
        raise UserError(
            f"claim '{claim.name}' makes its own models from its own text, so {option} means nothing to it",
            advice="`fourfold claim list` says which claims take a model.",
        )
    from fourfold.workflow.claims.making import OwnModels

    return OwnModels(claim, size, folder)


def run_claim(
    file: Path, size: Size, folder: Path, again: str, *, model: str | None = None, data: Path | None = None
) -> dict[str, Any]:
    """Run the claim in `file` inside `folder` and return what results.json holds.

    `model` and `data` are for claims that ask pre-trained models: another model, and the file of the benchmark.
    A finished cell is never trained again; Ctrl-C raises `Interrupted`, which names `again`,
    the command that goes on.
    """
    claim = read_claim(file)
    interrupts = Interrupts()
    with lock_folder(folder), interrupts.installed():
        remove_leftovers(folder)
        write_text(folder / "claim.toml", read_text(file))
        manifest = _Manifest(folder, claim, size)
        try:
            experiment = make_experiment(claim, size, folder, model, data)
            run = _Run(claim=claim, size=size, folder=folder, interrupts=interrupts, experiment=experiment)
            results, took = run.cells()
            write_bundle(claim, size, results, took, folder)
        except (KeyboardInterrupt, Interrupted):
            manifest.finish("interrupted")
            raise Interrupted(f"Interrupted; finished work is kept. Go on with: {again}") from None
        except BaseException as error:
            manifest.finish(f"failed: {error}" if isinstance(error, FourfoldError) else f"failed: {error!r}")
            raise
        manifest.finish("finished", code_sha256=code_fingerprint(experiment.code))
        _remove_strangers(folder, {cell.name for cell in experiment.cells})
        record: dict[str, Any] = read_json(folder / "results.json")
        return record


def _remove_strangers(folder: Path, names: set[str]) -> None:
    """Cells of an earlier form of the claim."""
    for path in (folder / "cells").iterdir():
        if path.name not in names:
            shutil.rmtree(path)


class _Manifest:
    """manifest.json: with what, on what and when; sittings add up."""

    def __init__(self, folder: Path, claim: Claim, size: Size) -> None:
        self._path = folder / "manifest.json"
        try:
            sittings = list(read_json(self._path)["sittings"])
        except (UserError, KeyError, TypeError):
            sittings = []
        sittings.append({"started": _now(), "ended": None, "outcome": "running"})
        self._record = {
            "claim": claim.name,
            "size": size,
            "claim_file_sha256": hash_file(folder / "claim.toml"),
            "machine": describe_machine(),
            "sittings": sittings,
        }
        write_json(self._path, self._record)

    def finish(self, outcome: str, **facts: str) -> None:
        self._record["sittings"][-1].update(ended=_now(), outcome=outcome)  # type: ignore[index]  # a list of records
        self._record |= facts
        write_json(self._path, self._record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def remaining(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
