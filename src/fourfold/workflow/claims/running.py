"""Run a claim: data, then every cell that is not done yet, then the verdict and its bundle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.errors import FourfoldError, Interrupted, UserError
from fourfold.files import hash_value, lock_folder, read_json, read_text, write_json, write_text
from fourfold.progress import say
from fourfold.workflow.claims.bundle import write_bundle
from fourfold.workflow.claims.catalogue import read_claim
from fourfold.workflow.claims.cells import Cell, expand
from fourfold.workflow.claims.data import ClaimData, make_data
from fourfold.workflow.claims.results import Results, gather
from fourfold.workflow.claims.spec import Claim, Size
from fourfold.workflow.context import StageContext
from fourfold.workflow.fingerprint import code_fingerprint
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger, finished
from fourfold.workflow.machine import describe_machine
from fourfold.workflow.runner import remove_leftovers
from fourfold.workflow.store import ModelStore
from fourfold.workflow.training import remove_checkpoints

if TYPE_CHECKING:
    from fourfold.workflow.claims.fitting import Plan

RESULT = "result.json"
"""What a finished cell measured."""
CODE = (
    "models.transformer",
    "models.recurrent",
    "models.registry",
    "models.linear",
    "training",
    "workflow.training",
    *(f"workflow.claims.{name}" for name in ("arrangements", "data", "fitting", "measuring", "stretching")),
)
"""The source a cell's numbers depend on: a change there trains it again."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One sitting."""

    claim: Claim
    size: Size
    folder: Path
    interrupts: Interrupts

    def cells(self) -> tuple[Results, float]:
        """Train what is not trained; returns the numbers and the seconds of all sittings."""
        from fourfold.workflow.claims.fitting import plan_cells  # brings torch; listing claims must not wait for it

        data = make_data(self.claim.data, self.folder)
        cells = expand(self.claim, self.size)
        plans = plan_cells(self.claim, cells, data)
        keys = self._keys(cells, plans)
        done = [self._is_done(cell, key) for cell, key in zip(cells, keys, strict=True)]
        if any(done):
            say(f"{sum(done)} of {len(cells)} cells are there already")
        began, worked = time.monotonic(), 0.0
        left = sum(plan.flops for plan, there in zip(plans, done, strict=True) if not there)
        for number, (cell, plan, key) in enumerate(zip(cells, plans, keys, strict=True), 1):
            if self._is_done(cell, key):
                continue
            self._cell(cell, plan, key, data)
            worked, left = worked + plan.flops, left - plan.flops
            seconds = (time.monotonic() - began) * left / worked
            say(f"{number} of {len(cells)}: {cell.title}" + (f"; about {remaining(seconds)} left" if left > 0 else ""))
        folders = [self._folder(cell) for cell in cells]
        seconds = sum(float((finished(folder) or {"seconds": 0.0})["seconds"]) for folder in folders)
        records = [read_json(folder / RESULT) for folder in folders]
        return gather(self.claim, self.size, records, data.describe()), seconds

    def _cell(self, cell: Cell, plan: Plan, key: str, data: ClaimData) -> None:
        from fourfold.workflow.claims.fitting import fit_cell

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
        try:
            write_json(ledger.folder / RESULT, fit_cell(context, cell, plan, data, self.claim.measurement))
        except BaseException:
            ledger.save()
            raise
        ledger.finish()
        remove_checkpoints(ledger.folder)

    def _folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.name

    def _is_done(self, cell: Cell, key: str) -> bool:
        record = finished(self._folder(cell))
        return record is not None and record["key"] == key and (self._folder(cell) / RESULT).is_file()

    def _keys(self, cells: Sequence[Cell], plans: Sequence[Plan]) -> list[str]:
        text = finished(self.folder / "data" / "tokenizer.bpe")
        assert text is not None  # make_data ends with it
        common = {
            "data": text["key"],
            "measurement": [measurement.model_dump() for measurement in self.claim.measurement],
            "code": code_fingerprint(CODE),
        }
        pairs = zip(cells, plans, strict=True)
        return [hash_value({**common, "cell": cell.identity(), "steps": plan.steps}) for cell, plan in pairs]


def run_claim(file: Path, size: Size, folder: Path, again: str) -> dict[str, Any]:
    """Run the claim in `file` inside `folder` and return what results.json holds.

    A finished cell is never trained again; Ctrl-C raises `Interrupted`, which names `again`,
    the command that goes on.
    """
    claim = read_claim(file)
    interrupts = Interrupts()
    with lock_folder(folder), interrupts.installed():
        remove_leftovers(folder)
        write_text(folder / "claim.toml", read_text(file))
        manifest = _Manifest(folder, claim, size)
        run = _Run(claim=claim, size=size, folder=folder, interrupts=interrupts)
        try:
            results, seconds = run.cells()
            write_bundle(claim, size, results, seconds, folder)
        except (KeyboardInterrupt, Interrupted):
            manifest.finish("interrupted")
            raise Interrupted(f"Interrupted; finished work is kept. Go on with: {again}") from None
        except BaseException as error:
            manifest.finish(f"failed: {error}" if isinstance(error, FourfoldError) else f"failed: {error!r}")
            raise
        manifest.finish("finished")
        _remove_strangers(folder, {cell.name for cell in expand(claim, size)})
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
            "claim_sha256": hash_value(claim.model_dump(mode="json")),
            "code_sha256": code_fingerprint(CODE),
            "machine": describe_machine(),
            "sittings": sittings,
        }
        write_json(self._path, self._record)

    def finish(self, outcome: str) -> None:
        self._record["sittings"][-1].update(ended=_now(), outcome=outcome)  # type: ignore[index]  # a list of records
        write_json(self._path, self._record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def remaining(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
