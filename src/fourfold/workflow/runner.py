"""Walk a recipe: skip what is done, redo what changed, continue what was cut off."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fourfold.errors import FourfoldError, Interrupted
from fourfold.files import hash_value, lock_folder, write_jsonl, write_text
from fourfold.launch import program
from fourfold.progress import say
from fourfold.workflow.context import StageContext
from fourfold.workflow.crew import SOLO, Company, FirstEnded, Launched, company, require_processes
from fourfold.workflow.fingerprint import code_fingerprint, source_fingerprint
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger, finished
from fourfold.workflow.manifest import FAILED, Manifest
from fourfold.workflow.outside import require_outside
from fourfold.workflow.recipe import Recipe, StageSpec
from fourfold.workflow.stages import KINDS
from fourfold.workflow.store import ModelStore, load_reference
from fourfold.workflow.training import remove_checkpoints


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What became of one stage in this sitting."""

    name: str
    skipped: bool
    """True when it was done before and nothing it depends on has changed."""
    seconds: float
    """Over all sittings."""
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where a run left its results."""

    folder: Path
    stages: tuple[StageResult, ...]
    report: Path | None


def run_recipe(
    recipe: Recipe,
    runs_folder: Path | str = "runs",
    only: str | None = None,
    load: Callable[[str], Any] = load_reference,
) -> RunResult:
    """Run the stages of a recipe that are not done yet, or with `only` that stage and what it needs.

    Results go to `runs_folder/NAME`. A stage that fails or is interrupted leaves every
    finished stage as it is; running again continues. Ctrl-C raises `Interrupted`, whose
    text is the command that resumes. `load` turns a model reference into a model.
    """
    folder = Path(runs_folder) / recipe.name
    wanted = list(recipe.required_for(only)) if only else list(recipe.stages)
    require_outside(wanted, folder)
    with company([stage.full_name for stage in recipe.stages]) as together:
        run = _Run(recipe, folder, Interrupts(), load, together)
        run.require_processes(wanted)
        if isinstance(together, Launched) and together.rank > 0:
            return run.follow(together)
        try:
            result = _walk(run, wanted, only)
        except BaseException:
            with suppress(FourfoldError):  # the others may have failed alike, and be gone
                together.over()
            raise
        together.over()
        return result


def _walk(run: _Run, wanted: list[StageSpec], only: str | None) -> RunResult:
    """Do the stages in this process, which holds the folder."""
    recipe, folder = run.recipe, run.folder
    with lock_folder(folder), run.interrupts.installed():
        remove_leftovers(folder)
        write_text(folder / "recipe.toml", recipe.text)
        manifest = Manifest(folder, recipe)
        results: list[StageResult] = []
        try:
            for index, stage in enumerate(wanted):
                results.append(run.stage(stage, later=wanted[index:]))
                manifest.stage_done(stage.full_name, finished(run.folders[stage.full_name]) or {})
        except KeyboardInterrupt:
            manifest.finish("interrupted")
            write_report(folder, recipe.language)
            raise Interrupted(f"Interrupted; finished work is kept. Resume with: {resume_command(folder)}") from None
        except BaseException as error:
            told = isinstance(error, FourfoldError)
            manifest.finish(FAILED + (str(error) if told else repr(error)))
            if told:
                write_report(folder, recipe.language)
            raise
        manifest.finish("finished" if only is None else f"finished {only}")
        return RunResult(folder=folder, stages=tuple(results), report=write_report(folder, recipe.language))


class _Run:
    """The stages of one recipe in one folder."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        interrupts: Interrupts,
        load: Callable[[str], Any],
        company: Company = SOLO,
    ) -> None:
        self.recipe, self.folder, self.interrupts, self.company = recipe, folder, interrupts, company
        self.folders = {stage.full_name: folder / stage.full_name for stage in recipe.stages}
        self.models = ModelStore(self.folders, load)
        self.keys: dict[str, str] = {}
        self.report_written, self.report_seconds = -math.inf, 0.0

    def stage(self, stage: StageSpec, later: list[StageSpec]) -> StageResult:
        """Do one stage unless it is done; afterwards only models that `later` stages name stay loaded."""
        folder = self.folders[stage.full_name]
        key = self.keys[stage.full_name] = self._key(stage)
        record = finished(folder)
        if record is not None and record["key"] == key:
            remove_checkpoints(folder)
            return _result(stage, record, skipped=True)
        ledger = Ledger(folder, key)
        say(f"{stage.full_name}: {'continuing' if ledger.resumed else 'starting'}{self._alone(stage)}")
        try:
            self._work(stage, ledger)
        finally:
            named = {name for spec in later for name in (*spec.needs, *spec.outside) if spec is not stage}
            self.models.keep(named)
        record = ledger.finish()
        remove_checkpoints(folder)
        say(f"{stage.full_name}: done in {record['seconds']:.0f} s")
        write_jsonl(self.folder / "metrics.jsonl", self._metrics())
        self._report()
        return _result(stage, record, skipped=False)

    def _alone(self, stage: StageSpec) -> str:
        """What to add where processes were started that this stage has no use for."""
        if self.company.size == 1 or "parallel" in type(stage.options).model_fields:
            return ""
        return f" in the first of {self.company.size} processes"

    def require_processes(self, wanted: list[StageSpec]) -> None:
        """Refuse a plan for other processes than there are before the first stage has cost any time."""
        for stage in wanted:
            parallel = getattr(stage.options, "parallel", None)
            if parallel is not None and finished(self.folders[stage.full_name]) is None:
                require_processes(parallel.plan().world, stage.full_name)

    def follow(self, company: Launched) -> RunResult:
        """Join the first process in the stages it calls to."""
        from fourfold.training import SpoilingStep

        stages = {stage.full_name: stage for stage in self.recipe.stages}
        with self.interrupts.installed(), suppress(FirstEnded):
            try:
                for name in company.calls():
                    KINDS[stages[name].kind].run(
                        self._context(stages[name], Ledger(self.folders[name], "", watches=True)), stages[name].options
                    )
            except SpoilingStep:  # the first process has met it too; a launcher ends all with the first that leaves
                company.over()
        return RunResult(folder=self.folder, stages=(), report=None)

    def _work(self, stage: StageSpec, ledger: Ledger) -> None:
        try:
            KINDS[stage.kind].run(self._context(stage, ledger), stage.options)
        except BaseException:
            ledger.save()
            raise
        self.interrupts.check()

    def _context(self, stage: StageSpec, ledger: Ledger) -> StageContext:
        return StageContext(
            name=stage.full_name,
            folder=ledger.folder,
            run_folder=self.folder,
            seed=self.recipe.seed,
            stages=self.folders,
            models=self.models,
            interrupts=self.interrupts,
            ledger=ledger,
            company=self.company,
        )

    def _report(self) -> None:
        """Bring the report up to date, unless that would take a tenth of the time or more."""
        began = time.monotonic()
        if began - self.report_written >= 10 * self.report_seconds:
            write_report(self.folder, self.recipe.language)
            self.report_written = time.monotonic()
            self.report_seconds = self.report_written - began

    def _key(self, stage: StageSpec) -> str:
        """Equal keys mean an equal result: options, seed, code, and everything the stage reads."""
        return hash_value(
            {
                "options": stage.options.model_dump(mode="json"),
                "seed": self.recipe.seed,
                "needs": {name: self.keys[name] for name in stage.needs},
                "outside": {name: source_fingerprint(name) for name in stage.outside},
                "code": code_fingerprint((*KINDS[stage.kind].code, f"workflow.stages.{stage.kind}")),
            }
        )

    def _metrics(self) -> list[dict[str, Any]]:
        records = ((name, finished(folder)) for name, folder in self.folders.items())
        return [
            {"stage": name, "seconds": record["seconds"], "peak_memory_bytes": record["peak_memory_bytes"]}
            for name, record in records
            if record
        ]


def _result(stage: StageSpec, record: dict[str, Any], *, skipped: bool) -> StageResult:
    return StageResult(
        name=stage.full_name,
        skipped=skipped,
        seconds=record["seconds"],
        peak_memory_bytes=record["peak_memory_bytes"],
    )


def remove_leftovers(folder: Path) -> None:
    """Drop half-written files that a killed process left; whoever holds the lock may."""
    for pattern in ("**/.*.part", "**/.*.old"):
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def resume_command(folder: Path) -> str:
    """The shell command that continues the run in this folder."""
    return shlex.join([*program(), "run", str(folder / "recipe.toml"), "--runs", str(folder.parent)])


def write_report(folder: Path, language: str) -> Path | None:
    """The run's report.html; a report that cannot be drawn never costs the run."""
    try:
        written: Path = import_module("fourfold.workflow.report").write_report(folder, language)
    except Exception as error:  # whatever it is, the numbers are on disk and later stages can still run
        say(f"The report could not be written ({type(error).__name__}: {error}); the results are in {folder}.")
        return None
    return written
