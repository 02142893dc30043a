"""What clients may send, and the errors they get back, in the layout of the OpenAI API."""

from __future__ import annotations

from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from fourfold.errors import UserError
from fourfold.inference import Message, Sampling

DEFAULT_TOKENS = 512


class ApiError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def response(self) -> JSONResponse:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        body = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": body}, self.status)


class TextPart(BaseModel):
    """One part of a message given in parts; only text is understood."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn. Fields of other abilities (tool calls, images) are refused, not dropped."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]
    name: str | None = None

    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class SamplingFields(BaseModel):
    """What both kinds of completion share. What we cannot do is refused by name in `refuse`."""

    model_config = ConfigDict(extra="allow")
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: int = Field(default=1, ge=1)

    def refuse(self) -> None:
        """Say no to what would silently be ignored otherwise."""
        neutral: dict[str, tuple[Any, ...]] = {
            "frequency_penalty": (None, 0), "presence_penalty": (None, 0), "logit_bias": (None, {}),
            "tools": (None, []), "functions": (None, []), "response_format": (None, {"type": "text"}),
            "logprobs": (None, False), "top_logprobs": (None, 0), "best_of": (None, 1), "suffix": (None, ""),
            "echo": (None, False),
        }  # fmt: skip
        for name, value in (self.model_extra or {}).items():
            if name in neutral and value not in neutral[name]:
                raise ApiError(400, f"'{name}' is not supported by this server.", param=name, code="unsupported")
        if self.n != 1:
            raise ApiError(400, "Only n = 1 is supported; send several requests.", param="n", code="unsupported")

    def sampling(self, max_tokens: int | None) -> Sampling:
        try:
            return Sampling(
                max_tokens=max_tokens or DEFAULT_TOKENS,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                min_p=self.min_p,
                stop=self.stop or (),
                seed=self.seed,
            )
        except UserError as error:
            raise ApiError(400, str(error)) from None

    @property
    def wants_usage(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


class ChatRequest(SamplingFields):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SamplingFields):
    """POST /v1/completions."""

    prompt: str | list[str]

    @property
    def prompts(self) -> list[str]:
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if not prompts:
            raise ApiError(400, "There is no prompt.", param="prompt")
        return prompts
