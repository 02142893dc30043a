"""What clients may send: the bodies of the OpenAI API.

A field we know is checked; one that would change the answer and that we cannot honour is refused by name;
any other (`user`, `metadata`, `store` …) changes nothing and is let pass.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from fourfold.serving.errors import ApiError
from fourfold.serving.sampling import Ids, Name, Open, SamplingFields, Strict

MOST_ALTERNATIVES = 20
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TextPart(Strict):
    """One part of a message given in parts; only text is understood."""

    type: Literal["text"]
    text: str


class CalledFunction(Strict):
    """A call as the model wrote it earlier in the conversation."""

    name: FunctionName
    arguments: str
    """JSON."""


class ToolCall(Open):
    """A call in an assistant's message."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Open):
    """One turn. Parts other than text (images, sound) are refused, not dropped."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def message(self) -> dict[str, Any]:
        """The turn as chat templates expect it: `developer` is `system`, arguments are objects."""
        if self.content is None and not self.tool_calls:
            raise ApiError(400, f"A message of role '{self.role}' has no content.", param="messages")
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())
        turn: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": text}
        if self.tool_calls:
            turn["tool_calls"] = [_written(call) for call in self.tool_calls]
        extra = {"name": self.name, "tool_call_id": self.tool_call_id}
        return turn | {name: value for name, value in extra.items() if value is not None}


class ToolFunction(Open):
    """A function the model may call; `parameters` is a JSON schema of its arguments."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(Open):
    """Something the model may use; only functions are known."""

    type: Literal["function"]
    function: ToolFunction


class NamedFunction(Strict):
    name: FunctionName


class NamedTool(Strict):
    """A tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class SchemaSpec(Open):
    """A JSON schema under a name."""

    name: str = "answer"
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """Free text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaSpec | None = None


class ChatRequest(SamplingFields):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=MOST_ALTERNATIVES)
    tools: list[Tool] = Field(default_factory=list, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SamplingFields):
    """POST /v1/completions: one prompt or several, as text or as token ids."""

    prompt: str | list[str] | Ids | list[Ids]
    logprobs: int | None = Field(default=None, ge=0, le=MOST_ALTERNATIVES)
    best_of: int | None = Field(default=None, ge=1, le=64)
    """So many answers are sampled, of which the `n` with the highest mean log-probability are given."""
    max_tokens: int | None = Field(default=None, ge=0)
    echo: bool | None = None

    @property
    def sampled(self) -> int:
        """Answers written for a prompt."""
        if self.best_of is None or self.best_of == self.n:
            return self.n
        if self.best_of < self.n or self.stream or self.beams or self.contrastive is not None:
            raise ApiError(
                400, "'best_of' samples at least 'n' answers, and cannot be streamed or searched for.", param="best_of"
            )
        return self.best_of

    def check_echo(self) -> None:
        """A text is either read, with its log-probabilities, or continued."""
        if not self.echo and self.max_tokens == 0:
            raise ApiError(400, "'max_tokens' may be 0 only with 'echo'.", param="max_tokens")
        if not self.echo:
            return
        if self.max_tokens != 0 or self.stream or self.n != 1 or self.logprobs is None:
            raise ApiError(
                400,
                "With 'echo' a text is read, not continued: send max_tokens 0, logprobs, one choice and no stream.",
                param="echo",
                code="unsupported",
            )

    def prompts(self) -> list[str | list[int]]:
        single = isinstance(self.prompt, str) or (bool(self.prompt) and isinstance(self.prompt[0], int))
        prompts: list[Any] = [self.prompt] if single else list(self.prompt)
        if not prompts:
            raise ApiError(400, "There is no prompt.", param="prompt")
        return prompts


class EmbeddingRequest(Open):
    """POST /v1/embeddings."""

    input: str | list[str]
    model: Name | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


class TokenizeRequest(Open):
    """POST /tokenize: a text, or a conversation as the chat template lays it out."""

    model: Name | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(default=None, min_length=1)


class DetokenizeRequest(Open):
    """POST /detokenize."""

    model: Name | None = None
    tokens: Ids


def _written(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.function.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}
