"""What clients may send: the fields of the OpenAI API, and top_k, min_p and repetition_penalty beside them.

A field we know is checked; one that would change the answer and that we cannot honour is refused by name;
any other (`user`, `metadata`, `store` …) changes nothing and is let pass.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fourfold.errors import UserError
from fourfold.inference import Constraint, Sampling, choice, grammar, regex
from fourfold.serving.errors import ApiError

DEFAULT_TOKENS = 512
SEEDS = 2**63
MOST_ALTERNATIVES = 20
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Ids = list[TokenId]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class TextPart(_Strict):
    """One part of a message given in parts; only text is understood."""

    type: Literal["text"]
    text: str


class CalledFunction(_Strict):
    """A call as the model wrote it earlier in the conversation."""

    name: FunctionName
    arguments: str
    """JSON."""


class ToolCall(_Open):
    """A call in an assistant's message."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(_Open):
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


class ToolFunction(_Open):
    """A function the model may call; `parameters` is a JSON schema of its arguments."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tool(_Open):
    """Something the model may use; only functions are known."""

    type: Literal["function"]
    function: ToolFunction


class NamedFunction(_Strict):
    name: FunctionName


class NamedTool(_Strict):
    """A tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class SchemaSpec(_Open):
    """A JSON schema under a name."""

    name: str = "answer"
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    """Free text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaSpec | None = None


class StreamOptions(_Open):
    include_usage: bool = False


class SamplingFields(_Open):
    """What both kinds of completion share."""

    model: Name | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: int | None = Field(default=None, ge=-SEEDS, lt=SEEDS)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=64)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)
    logit_bias: dict[TokenId, Annotated[float, Field(ge=-100, le=100)]] | None = Field(default=None, max_length=1024)

    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None

    def sampling(self, max_tokens: int | None, constraint: Constraint | None = None) -> Sampling:
        """The choice of tokens; a constraint of `regex`, `choice` or `grammar`, or the one that is given."""
        self.refuse_unknown()
        found = [constraint, *self._constraints()]
        asked = [one for one in found if one is not None]
        if len(asked) > 1:
            raise ApiError(
                400, "An answer can have one form: a JSON schema, a regex, a choice, a grammar or a tool call."
            )
        try:
            return Sampling(
                max_tokens=max_tokens or DEFAULT_TOKENS,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                min_p=self.min_p,
                stop=self.stop or (),
                seed=self.seed,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                repetition_penalty=self.repetition_penalty,
                logit_bias=self.logit_bias or {},
                constraint=asked[0] if asked else None,
            )
        except UserError as error:
            raise ApiError(400, str(error)) from None

    def _constraints(self) -> list[Constraint | None]:
        try:
            return [
                None if self.regex is None else regex(self.regex),
                None if self.choice is None else choice(self.choice),
                None if self.grammar is None else grammar(self.grammar),
            ]
        except UserError as error:
            raise ApiError(400, str(error)) from None

    def refuse_unknown(self) -> None:
        """Say no to what would silently be ignored otherwise."""
        neutral: dict[str, tuple[Any, ...]] = {
            "functions": (None, []), "function_call": (None, "none"), "suffix": (None, ""),
            "modalities": (None, ["text"]), "audio": (None,), "prediction": (None,), "web_search_options": (None,),
        }  # fmt: skip
        for name, value in (self.model_extra or {}).items():
            if name in neutral and value not in neutral[name]:
                raise ApiError(400, f"'{name}' is not supported by this server.", param=name, code="unsupported")

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


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
    max_tokens: int | None = Field(default=None, ge=0)
    echo: bool | None = None

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


class EmbeddingRequest(_Open):
    """POST /v1/embeddings."""

    input: str | list[str]
    model: Name | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


class TokenizeRequest(_Open):
    """POST /tokenize: a text, or a conversation as the chat template lays it out."""

    model: Name | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(default=None, min_length=1)


class DetokenizeRequest(_Open):
    """POST /detokenize."""

    model: Name | None = None
    tokens: Ids


def _written(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.function.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}
