"""The report of a run: one self-contained page and its figures."""

from fourfold.workflow.report.page import write_report

__all__ = ["write_report"]
