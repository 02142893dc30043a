"""What is wrong with a checkpoint or a data file, in seconds and without training."""

from fourfold.workflow.doctor.data import DATA_CHECKS, DATA_FILES
from fourfold.workflow.doctor.examining import MODEL_CHECKS, Report, examine, known_kinds
from fourfold.workflow.doctor.findings import Check, Fact, Finding, Kind, Language, Severity, Unseen, Words

__all__ = [
    "DATA_CHECKS",
    "DATA_FILES",
    "MODEL_CHECKS",
    "Check",
    "Fact",
    "Finding",
    "Kind",
    "Language",
    "Report",
    "Severity",
    "Unseen",
    "Words",
    "examine",
    "known_kinds",
]
