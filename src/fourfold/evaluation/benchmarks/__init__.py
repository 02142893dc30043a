"""Public benchmarks as values: where their data lie, how a record is read and asked."""

from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data, HubData
from fourfold.evaluation.benchmarks.choices import choices, one_way, task_of
from fourfold.evaluation.benchmarks.known import AT, BENCHMARKS, benchmark_task, ways_of
from fourfold.evaluation.benchmarks.reading import made, text_of
from fourfold.evaluation.benchmarks.records import Record, refusal

__all__ = [
    "AT",
    "BENCHMARKS",
    "Benchmark",
    "Data",
    "HubData",
    "Record",
    "benchmark_task",
    "choices",
    "made",
    "one_way",
    "refusal",
    "task_of",
    "text_of",
    "ways_of",
]
