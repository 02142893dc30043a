import ast
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.utilization import ToolError, calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("333*291", "96903"),
        (" 2 + 3 * (4 - 1) ", "11"),
        ("-3**2", "-9"),
        ("--4", "4"),
        ("7 // 2 + 7 % 4", "6"),
        ("1/3", "0.333333333333"),
        ("0.1 + 0.2", "0.3"),
        ("6/2", "3"),
        ("2**-1", "0.5"),
        ("1e3", "1000"),
        ("12×4÷3−1", "15"),
        ("1,234*2", "2468"),
        ("2**100", str(2**100)),
    ],
)
def test_values(expression, value):
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "9**9**9",
        "10**5000",
        "1e308*10",
        "2**1e9",
        "1/0",
        "0**-1",
        "(-8)**0.5",
        "__import__('os').system('true')",
        "a+1",
        "True",
        "1if 1else 2",
        "[1]*3",
        "1,2",
        "3+",
        "1" * 201,
        "(" * 150 + "1" + ")" * 40,
        "-" * 199 + "1e",
        "'a'*9",
        "0x10",
    ],
)
def test_refusals(expression):
    with pytest.raises(ToolError):
        calculate(expression)


OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
trees = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.tuples(inner, st.sampled_from(sorted(OPERATIONS)), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
    max_leaves=12,
)


@given(trees)
def test_agrees_with_python_on_integers(expression):
    def value(node):
        if isinstance(node, ast.Constant):
            return node.value
        signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
        return OPERATIONS[signs[type(node.op)]](value(node.left), value(node.right))

    assert calculate(expression) == str(value(ast.parse(expression, mode="eval").body))
