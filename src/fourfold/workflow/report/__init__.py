"""The report of a run, and that of a comparison: self-contained pages and their figures."""

from fourfold.workflow.report.comparison import write_comparison
from fourfold.workflow.report.flips import write_flips
from fourfold.workflow.report.page import write_report

__all__ = ["write_comparison", "write_flips", "write_report"]
