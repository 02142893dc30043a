"""How families of chat templates write tool calls, and how a template that knows no tools is told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fourfold.tokenizers import Tools


class ToolFormat(NamedTuple):
    """The marks around calls. A call is a JSON object with a name, and arguments or parameters, unless `named`."""

    family: str
    opening: str
    """What comes before the calls."""
    closing: str | None
    """What comes behind one; None: calls go on to the end of the turn."""
    bare: bool
    """A turn that begins with a brace may be a call without marks."""
    named: bool = False
    """A call is NAME[ARGS]{arguments}, perhaps with [CALL_ID] and an id between."""
    id_size: int = 24
    """Hexadecimal digits of a call's id; a template may refuse others than it knows."""
    id_prefix: str = "call_"


HERMES = ToolFormat("hermes", "<tool_call>", "</tool_call>", False)
LLAMA = ToolFormat("llama", "<|python_tag|>", None, True)
MISTRAL = ToolFormat("mistral", "[TOOL_CALLS]", None, False, id_size=9, id_prefix="")
MISTRAL_NAMED = MISTRAL._replace(named=True)
"""Of Mistral's tokenizers from version 11 on."""
GENERIC = ToolFormat("generic", "<tool_call>", "</tool_call>", True)
"""Of templates that do not show tools: we show them in the system message, and ask for Hermes' form."""

INSTRUCTIONS = """You may call functions to answer. These are the functions, as JSON:
{tools}
To call one, write nothing but this, with your values, one block for each call:
<tool_call>
{{"name": "FUNCTION", "arguments": {{"ARGUMENT": "VALUE"}}}}
</tool_call>
The result comes back in <tool_response>. If no function is needed, answer as usual."""


def tool_format(template: str) -> ToolFormat:
    """The form a template's model was trained to write, by the marks in the template."""
    if "tools" not in template:
        return GENERIC
    if HERMES.opening in template:
        return HERMES
    if MISTRAL.opening in template:
        return MISTRAL_NAMED if "[ARGS]" in template else MISTRAL
    if LLAMA.opening in template or '"parameters": ' in template:
        return LLAMA
    return HERMES


def laid_out(
    messages: Sequence[Mapping[str, Any]], tools: Tools, format: ToolFormat
) -> tuple[list[dict[str, Any]], Tools | None]:
    """Messages and tools as the template takes them: a generic one gets everything as plain turns."""
    if format is not GENERIC:
        return [dict(message) for message in messages], tools or None
    turns = [_plain(message) for message in messages]
    if tools:
        shown = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
        text = INSTRUCTIONS.format(tools=shown)
        if turns and turns[0]["role"] == "system":
            turns[0] = turns[0] | {"content": f"{turns[0]['content']}\n\n{text}"}
        else:
            turns.insert(0, {"role": "system", "content": text})
    return turns, None


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A turn without tool fields: calls and results are written out in the text."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = "".join(
        f"\n{GENERIC.opening}\n{json.dumps(call['function'], ensure_ascii=False)}\n{GENERIC.closing}"
        for call in message.get("tool_calls", ())
    )
    return {
        "role": message["role"],
        "content": (message["content"] + calls).lstrip("\n") if calls else message["content"],
    }
