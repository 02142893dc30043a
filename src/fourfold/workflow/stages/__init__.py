"""The kinds of stage a recipe may name, one file each."""

from fourfold.workflow.stages.known import KINDS

__all__ = ["KINDS"]
