"""Tools a model may call in its answer."""

from fourfold.utilization.tools.calculator import calculate, calculator
from fourfold.utilization.tools.tool import Tool, ToolError

__all__ = ["Tool", "ToolError", "calculate", "calculator"]
