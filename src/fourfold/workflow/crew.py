"""One run by several processes: the first walks the recipe, the others join it in the stages that train together.

torchrun starts the same command in every process. The first holds the run folder, writes and speaks; where a stage
trains by gradient it calls the others, who until then wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, final

from fourfold.errors import UserError
from fourfold.launch import launched_processes

if TYPE_CHECKING:
    from fourfold.training.parallel import Crew

OVER = -1


class FirstEnded(Exception):
    """The first process ended the run where another one waited for its word."""


class Company(Protocol):
    """Who works on this run."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def call(self, stage: str) -> None:
        """The first calls the others to a stage that all work on."""

    def told(self, number: int) -> int:
        """The first process's number, everywhere."""


@final
class Solo:
    """Nobody else."""

    rank, size = 0, 1

    def call(self, stage: str) -> None:
        pass

    def told(self, number: int) -> int:
        return number

    def over(self) -> None:
        pass


SOLO = Solo()


@final
class Launched:
    """The processes of a launch, with the names of the stages they may be called to."""

    def __init__(self, crew: Crew, stages: Sequence[str]) -> None:
        self.crew = crew
        self.rank, self.size = crew.rank, crew.size
        self._stages = list(stages)

    def call(self, stage: str) -> None:
        if self.rank == 0:
            self.crew.told(self._stages.index(stage))

    def calls(self) -> Iterator[str]:
        """The stages this process is called to, until the first has finished its walk."""
        while (number := self.crew.told(OVER)) != OVER:
            yield self._stages[number]

    def told(self, number: int) -> int:
        found = self.crew.told(number)
        if found == OVER:  # said in place of a number
            raise FirstEnded
        return found

    def over(self) -> None:
        """Let the others go; for them, wait for that."""
        self.crew.told(OVER)


@contextmanager
def company(stages: Sequence[str]) -> Iterator[Launched | Solo]:
    """The processes of this launch, gathered; nobody where there was none."""
    if launched_processes() == 1:
        yield SOLO
        return
    from fourfold.training.parallel import joined

    with joined() as crew:
        yield Launched(crew, stages)


def require_processes(world: int, where: str) -> None:
    """Refuse a plan for another number of processes than were started."""
    if world != launched_processes():
        raise UserError(
            "the plan does not fit the processes that were started",
            where=where,
            expected=f"{world} processes",
            got=launched_processes(),
            advice=f"Start it with: torchrun --nproc-per-node {world} -m fourfold run …",
        )
