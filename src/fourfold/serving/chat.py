"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response

from fourfold.errors import UserError
from fourfold.inference import Constraint, Sampling, json_schema
from fourfold.serving.answering import respond, told, while_connected
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded, Voice
from fourfold.serving.logprobs import chat_logprobs
from fourfold.serving.requests import ChatRequest, NamedTool
from fourfold.serving.service import Service
from fourfold.serving.tool_calls import Part, ToolReader
from fourfold.serving.tool_formats import ToolFormat, laid_out, tool_format
from fourfold.serving.writing import Piece, Work, check_length, plan
from fourfold.tokenizers import Tokenizer


async def chat(service: Service, request: Request, body: ChatRequest) -> Response:
    """The assistant's next turn."""
    loaded = service.loaded()
    voice = loaded.voice(body.model)
    if voice.tokenizer.chat_template is None:
        raise ApiError(400, f"'{voice.name}' has no chat template; use /v1/completions.", code="no_chat_template")
    check_length(service, body.limit)
    sampling = body.sampling(
        body.limit or service.limits.answer_tokens, constraint=form_of(body), draft=loaded.draft,
        alternatives=body.top_logprobs if body.logprobs else 0,
    )  # fmt: skip
    format = tool_format(voice.tokenizer.chat_template)
    used = bool(body.tools) and body.tool_choice != "none"
    try:
        work = await while_connected(request, asyncio.to_thread(_work, service, loaded, voice, body, sampling, format))
    except Exception as error:
        raise told(error) from error
    names = [tool.function.name for tool in body.tools]
    form = ChatForm(work, body.top_logprobs if body.logprobs else None,
                    (lambda: ToolReader(format, names, forced=must_call(body))) if used else None)  # fmt: skip
    return await respond(service, request, work, form, stream=body.stream, usage=body.wants_usage)


def form_of(body: ChatRequest) -> Constraint | None:
    """The form the answer must have: a call where one has to be made, else what `response_format` says."""
    asked = body.response_format
    try:
        if must_call(body):
            return json_schema(_calls_schema(body))
        if asked is None or asked.type == "text":
            return None
        if asked.type == "json_object":
            return json_schema({"type": "object"})
        if asked.json_schema is None:
            raise ApiError(400, "'json_schema' is missing.", param="response_format.json_schema")
        return json_schema(asked.json_schema.schema_)
    except UserError as error:
        raise ApiError(400, str(error), param="tools" if must_call(body) else "response_format") from None


def must_call(body: ChatRequest) -> bool:
    return body.tool_choice == "required" or isinstance(body.tool_choice, NamedTool)


def _calls_schema(body: ChatRequest) -> dict[str, Any]:
    """One call of a tool that may be called, as the schema of its JSON."""
    wanted = body.tool_choice.function.name if isinstance(body.tool_choice, NamedTool) else None
    tools = [tool.function for tool in body.tools if wanted in (None, tool.function.name)]
    if not tools:
        raise ApiError(400, "'tool_choice' asks for a tool that is not among 'tools'.", param="tool_choice")
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": {"type": "object", **tool.parameters}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def chat_ids(service: Service, voice: Voice, body: ChatRequest, format: ToolFormat) -> list[int]:
    """The ids of the conversation, rendered with limits of time and memory."""
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools] if body.tool_choice != "none" else []
    turns, shown = laid_out([message.message() for message in body.messages], tools, format)
    assert isinstance(voice.tokenizer, Tokenizer)
    return voice.tokenizer.encode_chat(turns, tools=shown, renderer=service.renderer)


def _work(
    service: Service, loaded: Loaded, voice: Voice, body: ChatRequest, sampling: Sampling, format: ToolFormat
) -> Work:
    ids = chat_ids(service, voice, body, format)
    work = plan(loaded, voice, [ids], sampling, body.n)
    tokenizer = voice.tokenizer
    if body.tools and isinstance(tokenizer, Tokenizer):
        mark = format.opening.encode()
        work.show_control = any(tokenizer.token_bytes(id) == mark for id in tokenizer.special_ids)
    return work


@dataclass
class _Turn:
    """What one choice has gained."""

    content: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None


class ChatForm:
    """Choices as messages, or as deltas of messages."""

    prefix, whole_kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, work: Work, alternatives: int | None, reader: Callable[[], ToolReader] | None) -> None:
        self.tokenizer, self.alternatives = work.voice.tokenizer, alternatives
        self.turns = [_Turn() for _ in work.requests]
        self.readers = [reader() for _ in work.requests] if reader is not None else None

    def opening(self, index: int) -> list[dict[str, Any]]:
        return [_choice(index, {"role": "assistant", "content": ""})]

    def take(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        turn, ended = self.turns[index], piece.finish_reason is not None
        deltas = [self._delta(turn, part) for part in self._parts(index, piece.text, ended)]
        choices = [_choice(index, delta) for delta in deltas]
        if self.alternatives is not None and piece.tokens:
            found = chat_logprobs(piece.tokens, self.tokenizer, self.alternatives)
            turn.logprobs += found["content"]
            choices = choices or [_choice(index, {"content": ""})]
            choices[0]["logprobs"] = found
        if ended:
            turn.reason = "tool_calls" if turn.calls and piece.finish_reason == "stop" else piece.finish_reason
            choices.append(_choice(index, {}, turn.reason))
        return choices

    def whole(self, index: int) -> dict[str, Any]:
        turn = self.turns[index]
        message: dict[str, Any] = {"role": "assistant", "content": turn.content}
        if turn.calls:
            message |= {"content": turn.content or None, "tool_calls": turn.calls}
        logprobs = {"content": turn.logprobs} if self.alternatives is not None else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": turn.reason}

    def _parts(self, index: int, text: str, ended: bool) -> list[Part]:
        if self.readers is None:
            return [Part(text)] if text else []
        reader = self.readers[index]
        return [*(reader.push(text) if text else ()), *(reader.finish() if ended else ())]

    def _delta(self, turn: _Turn, part: Part) -> dict[str, Any]:
        if part.call is None:
            turn.content += part.text
            return {"content": part.text}
        if part.name is not None:
            function = {"name": part.name, "arguments": part.text}
            turn.calls.append({"id": part.id, "type": "function", "function": function})
            return {"tool_calls": [{"index": part.call, **json.loads(json.dumps(turn.calls[-1]))}]}
        turn.calls[part.call]["function"]["arguments"] += part.text
        return {"tool_calls": [{"index": part.call, "function": {"arguments": part.text}}]}


def _choice(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
