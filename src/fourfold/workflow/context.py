"""What a stage is given to work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import UserError
from fourfold.workflow.crew import SOLO, Company
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.ledger import Ledger
from fourfold.workflow.store import ModelStore


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """The place and the means of one stage."""

    name: str
    """`kind.name`."""
    folder: Path
    """Where this stage writes; what it left there before an interruption is still there."""
    run_folder: Path
    seed: int
    stages: Mapping[str, Path]
    """Folders of the stages of this recipe, by full name."""
    models: ModelStore
    interrupts: Interrupts
    ledger: Ledger
    company: Company = SOLO
    """The processes that work on this run."""

    def path(self, reference: str) -> Path:
        """The folder of a stage, or the path of an outside file."""
        return self.stages.get(reference) or Path(reference).expanduser()

    def output_of(self, reference: str, name: str) -> Path:
        """A file another stage must have left."""
        path = self.path(reference) / name
        if not path.exists():
            raise UserError(
                f"the stage left no {name}", where=self.path(reference), advice="Delete this folder and run again."
            )
        return path
