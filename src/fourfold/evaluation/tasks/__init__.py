"""The tasks, one file each."""

from fourfold.evaluation.tasks.arithmetic import arithmetic_task
from fourfold.evaluation.tasks.continuation import TooLittleText, continuation_task
from fourfold.evaluation.tasks.general import general_task
from fourfold.evaluation.tasks.instruction_format import format_task
from fourfold.evaluation.tasks.local_file import file_task
from fourfold.evaluation.tasks.preference import preference_task

__all__ = [
    "TooLittleText",
    "arithmetic_task",
    "continuation_task",
    "file_task",
    "format_task",
    "general_task",
    "preference_task",
]
