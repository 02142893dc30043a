"""Answers other than 2xx, in the layout of the OpenAI API."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from fourfold.errors import FourfoldError, UserError
from fourfold.inference import Overloaded

KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """What went wrong, with whom, and when to come back where that helps."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.retry_after = retry_after
        """Seconds."""

    def body(self) -> dict[str, Any]:
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse(self.body(), self.status, headers=headers)


def api_error(error: BaseException) -> ApiError:
    """Any error of one request as its client is told: the user's in a sentence, ours without details."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        code = "context_length_exceeded" if "does not fit" in str(error) else None
        return ApiError(400, str(error), code=code)
    if isinstance(error, TimeoutError):
        return ApiError(504, "The answer took longer than this server allows.", code="timeout")
    if isinstance(error, Overloaded):
        return ApiError(429, str(error), code="overloaded", retry_after=1)
    if isinstance(error, FourfoldError):
        return ApiError(500, str(error), code="internal_error")
    return ApiError(500, "The server failed on this request.", code="internal_error")


def shown(text: str, most: int = 80) -> str:
    """What a client sent, fit to stand in a sentence: one line, not too long."""
    plain = text if text.isprintable() else ascii(text)[1:-1]
    return plain if len(plain) <= most else plain[:most] + "…"
