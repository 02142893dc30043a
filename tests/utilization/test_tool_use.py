import pytest

from fourfold.utilization import (
    calculator,
    chain,
    conversations_of,
    find_calls,
    is_well_formed_call,
    use_tools,
    zero_shot,
)

TOOLS = [calculator()]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("CALC(333*291)", ["333*291"]),
        ("First CALC(2*(3+4)), then CALC(1).", ["2*(3+4)", "1"]),
        ("CALC(2*(3+4)", []),
        ("RECALC(1) and XCALC(2)", []),
        ("结果是CALC(1+1)。", ["1+1"]),
        ("calc(1)", []),
        ("CALC((1) CALC(2)", ["2"]),
    ],
)
def test_calls_are_found(text, arguments):
    assert [call.argument for call in find_calls(text, TOOLS)] == arguments
    assert find_calls(text, []) == []


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [("CALC(1+1)", True), ("CALC(1+1) CALC(2", False), ("CALC(one)", False), ("2", False), ("CALC(1/0)", False)],
)
def test_well_formed(text, well_formed):
    assert is_well_formed_call(text, TOOLS) is well_formed


def test_results_take_the_place_of_calls(replies):
    model = replies(lambda messages, _: "It is CALC(333*291), not CALC(nothing).")
    (solved,) = chain([zero_shot(model), use_tools(TOOLS)])(conversations_of(["333*291?"]))
    assert solved.output == "It is 96903, not CALC(nothing)."
    assert solved.meta["before_tools"] == "It is CALC(333*291), not CALC(nothing)."
    assert [(call["ok"], call["result"][:5]) for call in solved.meta["tool_calls"]] == [
        (True, "96903"),
        (False, "not a"),
    ]
    assert len(model.batches) == 1


def test_results_go_back_to_a_model_that_can_use_them(replies):
    model = replies(
        lambda messages, _: "So 4." if "CALC(2+2) = 4" in messages[-1]["content"] else messages[0]["content"]
    )
    first, second = chain([zero_shot(model), use_tools(TOOLS, model)])(conversations_of(["CALC(2+2)", "nothing to do"]))
    assert first.output == "So 4."
    assert second.output == "nothing to do"
    assert second.meta["tool_calls"] == []
    assert [len(batch) for batch in model.batches] == [2, 1], "only conversations with calls are asked again"
