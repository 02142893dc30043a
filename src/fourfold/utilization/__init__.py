"""Fold 3, utilization: ways to put a question to a chat model. Solvers compose in a list."""

from fourfold.utilization.conversation import Conversation, Solver, chain, conversations_of
from fourfold.utilization.prompting import (
    Demonstration,
    ask,
    demonstrate,
    few_shot,
    few_shot_chain_of_thought,
    zero_shot,
)
from fourfold.utilization.reasoning import chain_of_thought, majority, self_consistency
from fourfold.utilization.tool_use import ToolCall, find_calls, is_well_formed_call, use_tools
from fourfold.utilization.tools import Tool, ToolError, calculate, calculator

__all__ = [
    "Conversation",
    "Demonstration",
    "Solver",
    "Tool",
    "ToolCall",
    "ToolError",
    "ask",
    "calculate",
    "calculator",
    "chain",
    "chain_of_thought",
    "conversations_of",
    "demonstrate",
    "few_shot",
    "few_shot_chain_of_thought",
    "find_calls",
    "is_well_formed_call",
    "majority",
    "self_consistency",
    "use_tools",
    "zero_shot",
]
