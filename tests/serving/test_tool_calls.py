"""Tool calls out of text, however it is cut; nothing is lost that is no call."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("fastapi")

from fourfold.serving.tool_calls import ToolReader
from fourfold.serving.tool_formats import (
    GENERIC,
    HERMES,
    LLAMA,
    MISTRAL,
    MISTRAL_NAMED,
    ToolFormat,
    laid_out,
    tool_format,
)
from fourfold.tokenizers import CHATML

Read = tuple[str, list[tuple[str, str]]]

CASES: list[tuple[ToolFormat, str, Read]] = [
    (HERMES, 'Let me see. <tool_call>\n{"name": "f", "arguments": {"a": "}{\\"", "b": [1, {}]}}\n</tool_call>\n'
             '<tool_call>{"name": "g", "arguments": {}}</tool_call> done',
     ("Let me see. done", [("f", '{"a": "}{\\"", "b": [1, {}]}'), ("g", "{}")])),
    (HERMES, '<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>', ("", [("f", '{"x": 1}')])),
    (HERMES, '<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}</tool_call>', ("", [("f", '{"x": 1}')])),
    (HERMES, '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
     ('<tool_call>{"name": "unknown", "arguments": {}}</tool_call>', [])),
    (HERMES, "a < b and c <tool_cal", ("a < b and c <tool_cal", [])),
    (HERMES, "<tool_call>hello", ("<tool_call>hello", [])),
    (HERMES, '<tool_call>{"name": "f", "argum', ('<tool_call>{"name": "f", "argum', [])),
    (HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1', ("", [("f", '{"a": 1')])),
    (HERMES, '{"name": "f", "arguments": {}}', ('{"name": "f", "arguments": {}}', [])),
    (GENERIC, ' {"name": "f", "arguments": {}}', ("", [("f", "{}")])),
    (LLAMA, '{"name": "f", "parameters": {"q": "x"}}; {"name": "g", "parameters": {}}',
     ("", [("f", '{"q": "x"}'), ("g", "{}")])),
    (LLAMA, '<|python_tag|>{"type": "function", "name": "f", "parameters": {"q": "\u00e9"}}',
     ("", [("f", '{"q": "\u00e9"}')])),
    (LLAMA, '{"answer": 3} is it', ('{"answer": 3} is it', [])),
    (MISTRAL, '[TOOL_CALLS] [{"name": "f", "arguments": {"q": [1]}}, {"name": "g", "arguments": {}}]',
     ("", [("f", '{"q": [1]}'), ("g", "{}")])),
    (MISTRAL_NAMED, 'I look. [TOOL_CALLS]f[ARGS]{"q": "]}"}[TOOL_CALLS]g[CALL_ID]a1B2c3D4e[ARGS]{}',
     ("I look.", [("f", '{"q": "]}"}'), ("g", "{}")])),
    (MISTRAL_NAMED, '[TOOL_CALLS] [{"name": "f", "arguments": {"q": 1}}]', ("", [("f", '{"q": 1}')])),
    (MISTRAL_NAMED, "[TOOL_CALLS]h[ARGS]{}", ("[TOOL_CALLS]h[ARGS]{}", [])),
    (MISTRAL_NAMED, "[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]no", ("[TOOL_CALLS]no", [("f", "{}")])),
    (MISTRAL_NAMED, "[TOOL_CALLS]f[ARG", ("[TOOL_CALLS]f[ARG", [])),
    (HERMES, "plain text\n", ("plain text\n", [])),
    (HERMES, "", ("", [])),
]  # fmt: skip


def read(format: ToolFormat, pieces: list[str], *, forced: bool = False) -> Read:
    reader = ToolReader(format, ["f", "g"], forced=forced)
    parts = [part for piece in pieces for part in reader.push(piece)] + reader.finish()
    calls: dict[int, tuple[str, str]] = {}
    for part in parts:
        if part.call is not None:
            name, arguments = calls.get(part.call, (part.name or "", ""))
            calls[part.call] = name, arguments + part.text
    return "".join(part.text for part in parts if part.call is None), list(calls.values())


@pytest.mark.parametrize(("format", "text", "wanted"), CASES)
def test_calls_are_read_however_the_text_is_cut(format: ToolFormat, text: str, wanted: Read) -> None:
    assert read(format, [text]) == wanted
    assert read(format, list(text)) == wanted
    chance = random.Random(0)
    for _ in range(50):
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(5))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert read(format, pieces) == wanted


def test_arguments_stream_before_the_call_is_complete() -> None:
    reader = ToolReader(HERMES, ["f"])
    parts = reader.push('<tool_call>{"name": "f", "arguments": {"city": "Pa')
    assert [part.name for part in parts] == ["f", None]
    assert parts[1].text == '{"city": "Pa'


def test_ids_have_the_length_that_the_template_asks_for() -> None:
    """Mistral's templates raise at ids that are not nine letters and digits."""
    (begun, *_) = ToolReader(MISTRAL, ["f"]).push('[TOOL_CALLS] [{"name": "f", "arguments": {}}]')
    assert begun.id is not None
    assert (len(begun.id), begun.id.isalnum()) == (9, True)


def test_a_forced_call_needs_no_mark() -> None:
    assert read(HERMES, ['{"name": "f", ', '"arguments": {"x": 1}}'], forced=True) == ("", [("f", '{"x": 1}')])


@pytest.mark.parametrize("format", [HERMES, MISTRAL_NAMED])
def test_random_text_is_never_lost(format: ToolFormat) -> None:
    chance = random.Random(1)
    bits = ["<tool_call>", "</tool_call>", "{", "}", '"name"', ":", '"f"', ",", '"arguments"', "x", " ", "\n", "[", "]"]
    bits += ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "f"]
    for _ in range(2000):
        text = "".join(chance.choice(bits) for _ in range(chance.randrange(20)))
        content, calls = read(format, list(text))
        assert read(format, [text]) == (content, calls)
        if not calls:
            assert content == text


def test_formats_by_their_templates() -> None:
    assert tool_format(CHATML) is GENERIC
    assert tool_format("{% if tools %}<tool_call>{% endif %}") is HERMES
    assert tool_format("{{ tools }}[AVAILABLE_TOOLS] [TOOL_CALLS]") is MISTRAL
    assert tool_format("{{ tools }}[TOOL_CALLS]{{ name }}[ARGS]") is MISTRAL_NAMED
    assert tool_format('{{ tools }} respond with {"name": function name, "parameters": {}} ') is LLAMA


def test_a_template_without_tools_gets_them_as_plain_turns() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ]
    turns, shown = laid_out(messages, [tool], GENERIC)
    assert shown is None
    assert turns[0]["content"].startswith("Be kind.\n\n")
    assert json.dumps(tool["function"]) in turns[0]["content"]
    content, calls = read(GENERIC, [turns[2]["content"]])
    assert (content, calls) == ("", [("f", '{"x": 1}')])
    assert turns[3] == {"role": "user", "content": "<tool_response>\n42\n</tool_response>"}
    assert laid_out(messages, [tool], HERMES)[1] == [tool]
