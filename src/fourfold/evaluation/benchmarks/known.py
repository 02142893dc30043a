"""The table of public benchmarks, and tasks made by their names."""

from __future__ import annotations

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data
from fourfold.evaluation.benchmarks.chinese import CMRC
from fourfold.evaluation.benchmarks.commonsense import COMMONSENSE
from fourfold.evaluation.benchmarks.data import load_data
from fourfold.evaluation.benchmarks.following import IFEVAL
from fourfold.evaluation.benchmarks.knowledge import KNOWLEDGE
from fourfold.evaluation.benchmarks.mathematics import MATHEMATICS
from fourfold.evaluation.benchmarks.programs import HUMANEVAL
from fourfold.evaluation.benchmarks.texts import TEXTS
from fourfold.evaluation.task import Item, Task

_ALL = (*KNOWLEDGE, *COMMONSENSE, *TEXTS, *MATHEMATICS, HUMANEVAL, IFEVAL, CMRC)
BENCHMARKS: dict[str, Benchmark] = {one.name: one for one in _ALL}
"""By name, in the order of the docs."""

AT = "@"


def benchmark_task(reference: str, *, shots: int = 0, shots_from: str | None = None) -> Task:
    """The task of `NAME` (data from the hub) or `NAME@PATH` (a file, or a folder with the splits).

    `shots` demonstrations come from the benchmark's own split for them, or from `shots_from` (a file or folder).
    """
    name, at, place = reference.partition(AT)
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    if at and not place:
        raise UserError(f"no file is named after '{reference}'", expected=f"{name}@FILE or {name}@FOLDER")
    if shots < 0:
        raise UserError("the number of demonstrations is out of range", expected="0 or more", got=shots)
    benchmark = BENCHMARKS[name]
    return benchmark.build(benchmark, load_data(benchmark, place or None, shots, shots_from))


def ways_of(benchmark: Benchmark) -> list[str]:
    """How a benchmark can be asked, its own way first."""
    made = Item(id="1", prompt="?", target="a", choices=("a", "b"), answer=0)
    task = benchmark.build(benchmark, Data(items=[made]))
    return [*task.ways, *task.solvers]
