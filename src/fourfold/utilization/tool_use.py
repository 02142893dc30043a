"""Tools called in the running text of an answer, as in Toolformer (Schick et al. 2023, section 2).

An answer that holds `CALC(333*291)` is finished in one of two ways. By default the call is
replaced by its result: a small model tuned on single turns has never seen a result come back,
and a replacement cannot be misread. With a model given, the results go back to it as a user
turn and it answers once more, for models that can use them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from fourfold.inference import ChatModel, Sampling
from fourfold.utilization.conversation import Conversation, Solver
from fourfold.utilization.prompting import ask
from fourfold.utilization.tools import Tool, ToolError


class ToolCall(NamedTuple):
    """NAME(argument) found at start:end of a text."""

    name: str
    argument: str
    start: int
    end: int


def find_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """The calls of these tools whose parentheses close, in order; a call within a call is part of its argument."""
    names = "|".join(re.escape(tool.name) for tool in tools)
    opening = re.compile(rf"(?<![A-Za-z0-9_])({names})\(")
    calls: list[ToolCall] = []
    position = 0
    while tools and (match := opening.search(text, position)):
        position = match.end()
        end = _closing(text, match.end())
        if end is not None:
            calls.append(ToolCall(match.group(1), text[match.end() : end], match.start(), end + 1))
            position = end + 1
    return calls


def is_well_formed_call(text: str, tools: Sequence[Tool]) -> bool:
    """Whether the text calls a tool, every opened call closes, and every call can be carried out."""
    calls = find_calls(text, tools)
    opened = sum(len(re.findall(rf"(?<![A-Za-z0-9_]){re.escape(tool.name)}\(", text)) for tool in tools)
    return 0 < len(calls) == opened and all(_run(call, tools).ok for call in calls)


def use_tools(tools: Sequence[Tool], model: ChatModel | None = None, sampling: Sampling | None = None) -> Solver:
    """Carry out the tool calls in the answers; goes after a solver that asks.

    Calls that fail stay as they are, with the reason in the record. The answer before is in
    `meta["before_tools"]`, the calls in `meta["tool_calls"]`.
    """

    def carry_out(batch: Sequence[Conversation]) -> list[Conversation]:
        return [_executed(conversation, tools) for conversation in batch]

    if model is None:
        return carry_out
    answer = ask(model, sampling)

    def solve(batch: Sequence[Conversation]) -> list[Conversation]:
        done = carry_out(batch)
        open_rows = [row for row, conversation in enumerate(done) if conversation.meta["tool_calls"]]
        told = [done[row].saying("user", _report(done[row])) for row in open_rows]
        for row, conversation in zip(open_rows, answer(told), strict=True):
            done[row] = conversation
        return done

    return solve


class _Outcome(NamedTuple):
    ok: bool
    text: str


def _run(call: ToolCall, tools: Sequence[Tool]) -> _Outcome:
    tool = next(tool for tool in tools if tool.name == call.name)
    try:
        return _Outcome(True, tool.run(call.argument))
    except ToolError as error:
        return _Outcome(False, str(error))


def _executed(conversation: Conversation, tools: Sequence[Tool]) -> Conversation:
    text, position, parts, record = conversation.output, 0, [], []
    for call in find_calls(text, tools):
        ok, result = _run(call, tools)
        parts += [text[position : call.start], result if ok else text[call.start : call.end]]
        position = call.end
        record.append({"tool": call.name, "argument": call.argument, "ok": ok, "result": result})
    finished = "".join([*parts, text[position:]])
    return replace(conversation, output=finished).noting(before_tools=text, tool_calls=record)


def _report(conversation: Conversation) -> str:
    lines = [f"{call['tool']}({call['argument']}) = {call['result']}" for call in conversation.meta["tool_calls"]]
    return "\n".join([*lines, "Now answer the question."])


def _closing(text: str, start: int) -> int | None:
    """Where the parenthesis opened just before `start` closes."""
    depth = 1
    for offset in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[offset], 0)
        if depth == 0:
            return offset
    return None
