"""Fold 4, evaluation: tasks, scores with their error bars, comparisons that say when they cannot tell."""

from fourfold.evaluation.asking import AskSetting, score_questions
from fourfold.evaluation.benchmarks import BENCHMARKS, Benchmark, benchmark_task, ways_of
from fourfold.evaluation.comparing import Results, Sample, amount, compare, read_results, sentence_of
from fourfold.evaluation.exporting import export_lm_eval
from fourfold.evaluation.questions import Question, read_questions
from fourfold.evaluation.registry import is_benchmark, make_task, task_names
from fourfold.evaluation.running import evaluate
from fourfold.evaluation.solving import ask, make_solver, method_names, solver_names
from fourfold.evaluation.task import Answered, Item, Metric, Task, Way
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
    "BENCHMARKS",
    "Answered",
    "AskSetting",
    "Benchmark",
    "Item",
    "Metric",
    "Question",
    "Results",
    "Sample",
    "Task",
    "TooLittleText",
    "Way",
    "amount",
    "arithmetic_task",
    "ask",
    "benchmark_task",
    "compare",
    "continuation_task",
    "evaluate",
    "export_lm_eval",
    "file_task",
    "format_task",
    "general_task",
    "is_benchmark",
    "make_solver",
    "make_task",
    "method_names",
    "preference_task",
    "read_questions",
    "read_results",
    "score_questions",
    "score_texts",
    "sentence_of",
    "solver_names",
    "task_names",
    "ways_of",
]
