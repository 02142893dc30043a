"""A calculator for untrusted expressions: parsed to a tree, walked by hand, never evaluated as code."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from fourfold.utilization.tools.tool import Tool, ToolError

LONGEST = 200
"""Characters of an expression."""
MOST_BITS = 4096
"""Bits of an integer on the way: 9**9**9 is refused before it is computed."""

Number = int | float

_BINARY: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_WRITTEN_WITH = re.compile(r"[0-9eE.+\-*/%() ]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SIGNS = str.maketrans({"×": "*", "÷": "/", "−": "-", "（": "(", "）": ")", "＋": "+"})


def calculator() -> Tool:
    """The tool CALC(expression)."""
    return Tool("CALC", calculate)


def calculate(expression: str) -> str:
    """The value of an arithmetic expression: numbers, + - * / // % **, signs, parentheses.

    × ÷ − are read as * / -, and 1,234 as 1234. Whole results are written without a point, others with up to 12
    digits. Whatever else, and whatever would be too large, is a `ToolError`.
    """
    text = _THOUSANDS.sub("", expression.strip().translate(_SIGNS))
    if len(text) > LONGEST:
        raise ToolError(f"an expression may have {LONGEST} characters, got {len(text)}")
    if not _WRITTEN_WITH.fullmatch(text):
        raise ToolError(f"not an arithmetic expression: {text}")
    try:
        return _written(_value(ast.parse(text, mode="eval").body))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ToolError(f"not an arithmetic expression: {text}") from None
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except OverflowError:
        raise ToolError("the result is too large") from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            return _bounded(_BINARY[type(operation)](_value(left), _value(right)))
    raise ToolError(f"not arithmetic: {ast.unparse(node)}")


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        if abs(exponent) * base.bit_length() > MOST_BITS:
            raise ToolError("the result is too large")
    elif base < 0 and not float(exponent).is_integer():
        raise ToolError("a negative number has no real root")
    return _bounded(base**exponent)


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ToolError("the result is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise OverflowError
    return value


def _written(value: Number) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, int) else f"{value:.12g}"
