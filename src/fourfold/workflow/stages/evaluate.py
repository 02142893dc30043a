"""`[evaluate.name]`: tasks put to several models in several ways, with intervals and paired comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from fourfold.errors import UserError, unknown_name
from fourfold.files import read_text
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use

if TYPE_CHECKING:
    from fourfold.evaluation import Task
    from fourfold.workflow.context import StageContext

CONTINUATION = "continuation"
"""The task made from the run's own held-out text; `continuation:GROUP` for one group of documents."""
FILE, AT = "file:", "@"


class EvaluateOptions(Options):
    """Which models do which tasks, and how they are asked."""

    models: tuple[str, ...] = Field(min_length=1)
    """Stages of this recipe or model references; each later one is compared with each earlier one."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names of tasks, `continuation`, `continuation:GROUP`, `file:PATH.jsonl` or public ones: `mmlu@FOLDER`."""
    solvers: tuple[str, ...] = ("zero_shot",)
    """Ways of asking, such as `few_shot`, `chain_of_thought`, `zero_shot+calculator` or `letters`."""
    shots: int = Field(default=0, ge=0)
    """Demonstrations before each question of a public benchmark."""
    corpus: str | None = None
    """The corpus whose held-out samples the task `continuation` is made from."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many items of each task."""


def uses(options: EvaluateOptions) -> list[Use]:
    corpus = [Use("corpus", options.corpus, ("corpus",))] if options.corpus else []
    files = [task.removeprefix(FILE) for task in options.tasks if task.startswith(FILE)]
    files += [task.partition(AT)[2] for task in options.tasks if AT in task and not task.startswith(FILE)]
    return [
        *corpus,
        *(Use("models", model, ("pretrain", "tune"), outside=True) for model in options.models),
        *(Use("tasks", file, (), outside=True) for file in files),
    ]


def check(options: EvaluateOptions) -> None:
    from fourfold.evaluation import method_names, task_names

    for solver in options.solvers:
        if solver not in method_names():
            raise unknown_name("solver", solver, method_names())
    for task in options.tasks:
        if task.partition(":")[0] == CONTINUATION:
            if options.corpus is None:
                raise UserError(f"the task '{task}' needs 'corpus'", expected="a section [corpus.…]")
        elif not task.startswith(FILE) and task.partition(AT)[0] not in task_names():
            raise unknown_name("task", task, [*task_names(), CONTINUATION])


def run(context: StageContext, options: EvaluateOptions) -> None:
    from fourfold.evaluation import evaluate

    tasks = [task for name in options.tasks if (task := made_task(context, options, name)) is not None]
    models = context.models
    evaluate(
        models.mapping(options.models),
        tasks,
        solvers=options.solvers,
        seed=context.seed,
        limit=options.limit,
        folder=context.folder,
        labels={reference: models.card(reference)["label"] for reference in options.models},
    )


def made_task(context: StageContext, options: EvaluateOptions, name: str) -> Task | str | None:
    """The task of that name; None, and that is said, where the corpus holds out too little text to make it."""
    from fourfold.evaluation import TooLittleText, is_benchmark, make_task

    if is_benchmark(name):
        return make_task(name, shots=options.shots)
    if not is_held_out(name):
        return name

    try:
        return held_out_task(context, options, name)
    except TooLittleText as error:
        say(f"{context.name} leaves out a task: {error}")
        return None


def is_held_out(task: str) -> bool:
    return task.partition(":")[0] == CONTINUATION


def held_out_task(context: StageContext, options: EvaluateOptions, name: str) -> Task:
    """The continuation task over the sample of a group, or over all samples joined."""
    from fourfold.evaluation import continuation_task

    assert options.corpus is not None  # checked with the recipe
    folder = context.path(options.corpus) / "samples"
    group = name.partition(":")[2]
    paths = [folder / f"{group}.txt"] if group else held_out_samples(folder)
    return continuation_task("\n\n".join(read_text(path) for path in paths), name)


def held_out_samples(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.txt")) if not path.stem.startswith("train_")]


KIND = StageKind(
    name="evaluate",
    options=EvaluateOptions,
    uses=uses,
    run=run,
    check=check,
    code=("evaluation", "utilization", "inference", "models", "tokenizers", "measures"),
)
