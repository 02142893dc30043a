"""Isolated execution: run Python that a model wrote, and say what kept it in."""

from fourfold.sandbox.execution import Execution, Limits, run_python

__all__ = ["Execution", "Limits", "run_python"]
