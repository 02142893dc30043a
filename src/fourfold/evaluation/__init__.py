"""Fold 4, evaluation: tasks, scores with their error bars, comparisons that say when they cannot tell."""

from fourfold.evaluation.asking import Way, score_questions
from fourfold.evaluation.comparing import compare, sentence_of
from fourfold.evaluation.questions import Question, read_questions
from fourfold.evaluation.registry import make_task, task_names
from fourfold.evaluation.running import evaluate
from fourfold.evaluation.sample_files import Sample, read_samples
from fourfold.evaluation.solving import make_solver, solver_names
from fourfold.evaluation.task import Item, Metric, Task
from fourfold.evaluation.tasks import (
    TooLittleText,
    arithmetic_task,
    continuation_task,
    file_task,
    format_task,
    general_task,
    preference_task,
)
from fourfold.evaluation.text_scores import score_texts

__all__ = [
    "Item",
    "Metric",
    "Question",
    "Sample",
    "Task",
    "TooLittleText",
    "Way",
    "arithmetic_task",
    "compare",
    "continuation_task",
    "evaluate",
    "file_task",
    "format_task",
    "general_task",
    "make_solver",
    "make_task",
    "preference_task",
    "read_questions",
    "read_samples",
    "score_questions",
    "score_texts",
    "sentence_of",
    "solver_names",
    "task_names",
]
