"""Which evaluation rows belong together, chosen by name and place, never by result."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.workflow.report.formatting import percent, percent_interval
from fourfold.workflow.report.language import Text, joined, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.records import Comparison, EvaluationRow, Sample

MAIN_SOLVERS = ("zero_shot+calculator", "calculator", "zero_shot")


@dataclass(frozen=True, kw_only=True)
class Block:
    """The models one stage compared on one task, under one solver and one metric."""

    source: str
    task: str
    solver: str
    metric: str
    main: bool
    """Whether it is the task's first metric, the one a figure shows."""
    rows: tuple[EvaluationRow, ...]

    @property
    def stage(self) -> str:
        return self.source.partition("/")[0]

    @property
    def base(self) -> str:
        """The model the others are compared with: the first that no tuning made."""
        names = [row.model for row in self.rows]
        return next((name for name in names if not name.startswith("tune.")), names[0])

    @property
    def is_tuning(self) -> bool:
        return any(row.model.startswith("tune.") for row in self.rows)

    @property
    def is_finetuning(self) -> bool:
        """Whether a pre-trained model is compared with itself from random weights."""
        return self.stage.startswith("finetune.")

    @property
    def name(self) -> Text:
        task, metric = task_name(self.task), metric_name(self.metric)
        if self.is_finetuning:  # tasks of one figure are measured in different ways
            return Text(f"{task.en} ({metric.en})", f"{task.zh}（{metric.zh}）")
        return task if self.main else joined([task, metric], ": ", "：")

    def row(self, model: str) -> EvaluationRow | None:
        return next((row for row in self.rows if row.model == model), None)


@dataclass(frozen=True, kw_only=True)
class Cell:
    share: float
    value: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One task: solvers down, models across."""

    task: Text
    models: tuple[str, ...]
    rows: tuple[tuple[Text, tuple[Cell | None, ...]], ...]
    chance: str
    n: int
    source: str


def task_name(task: str) -> Text:
    name, _, part = task.partition(":")
    known = words_or(f"task_{name}", name)
    return joined([known, words_or(f"group_{part}", part)], ": ", "：") if part else known


def solver_name(solver: str) -> Text:
    return joined([words_or(f"solver_{part}", part) for part in solver.replace("-", "_").split("+")], " + ", " + ")


def metric_name(metric: str) -> Text:
    return words_or(f"metric_{metric}", metric.replace("_", " "))


def tuning_blocks(run: Run) -> list[Block]:
    """Blocks in which a tuned model is compared with the model before."""
    return [block for block in _blocks(run) if block.is_tuning]


def finetuning_blocks(run: Run) -> list[Block]:
    """Blocks in which a model tuned on a task is compared with itself from random weights."""
    return [block for block in _blocks(run) if block.is_finetuning]


def other_blocks(run: Run) -> list[Block]:
    return [block for block in _blocks(run) if not (block.is_tuning or block.is_finetuning)]


def comparison(run: Run, block: Block, model: str) -> Comparison | None:
    """The paired difference of a model from the block's base, whichever way round the run wrote it."""
    base, after = block.row(block.base), block.row(model)
    if base is None or after is None or base is after:
        return None
    for found in run.comparisons:
        if not found.matches(block.source, block.task, block.solver, block.metric):
            continue
        if {found.a, found.b} == {base.model, after.model}:
            return found if (after.value - base.value) * found.difference >= 0 else found.reversed()
    return None


def prompting(run: Run) -> list[Matrix]:
    """The tasks that a stage tried with more than one way of asking."""
    matrices = []
    for (source, task), rows in _groups(run).items():
        rows = [row for row in rows if row.metric == rows[0].metric]
        solvers = list(dict.fromkeys(row.solver for row in rows))
        if len(solvers) < 2:
            continue
        models = list(dict.fromkeys(row.model for row in rows))
        found = {(row.solver, row.model): row for row in rows}
        chance = next((row.chance for row in rows if row.chance is not None), None)
        matrices.append(
            Matrix(
                task=task_name(task),
                models=tuple(next(row.label for row in rows if row.model == model) for model in models),
                rows=tuple((solver_name(s), tuple(_cell(found.get((s, model))) for model in models)) for s in solvers),
                chance=percent(chance),
                n=rows[0].n,
                source=source,
            )
        )
    return matrices


def first_samples(run: Run) -> list[tuple[Block, Sample]]:
    """Of each tuning block and model the first right and the first wrong answer in the file."""
    found = []
    for block in (block for block in tuning_blocks(run) if block.main):
        wanted = {(row.model, right) for row in block.rows for right in (True, False)}
        for sample in run.samples:
            same = (sample.stage, sample.task, sample.solver) == (block.stage, block.task, block.solver)
            if same and (sample.model, sample.right) in wanted:
                wanted.discard((sample.model, sample.right))
                found.append((block, sample))
    return found


def _blocks(run: Run) -> list[Block]:
    """A task tried in several ways by one stage stands here only where no stage tried it in one way."""
    groups = _groups(run)
    single = {task for (_, task), rows in groups.items() if len({row.solver for row in rows}) == 1}
    blocks = []
    for (source, task), rows in groups.items():
        solver = _main_solver(rows)
        if len({row.solver for row in rows}) > 1 and task in single:
            continue
        metrics = list(dict.fromkeys(row.metric for row in rows))
        for metric in metrics:
            shown = tuple(row for row in rows if (row.solver, row.metric) == (solver, metric))
            if shown:
                main = metric == metrics[0]
                blocks.append(Block(source=source, task=task, solver=solver, metric=metric, main=main, rows=shown))
    return blocks


def _main_solver(rows: list[EvaluationRow]) -> str:
    """The tool if it was tried, else plain asking, else the first."""
    solvers = list(dict.fromkeys(row.solver for row in rows))
    return next((solver for solver in MAIN_SOLVERS if solver in solvers), solvers[0])


def _groups(run: Run) -> dict[tuple[str, str], list[EvaluationRow]]:
    groups: dict[tuple[str, str], list[EvaluationRow]] = {}
    for row in run.evaluations:
        groups.setdefault((row.source, row.task), []).append(row)
    return groups


def _cell(row: EvaluationRow | None) -> Cell | None:
    if row is None:
        return None
    return Cell(share=row.value, value=percent(row.value), interval=percent_interval(row.low, row.high))
