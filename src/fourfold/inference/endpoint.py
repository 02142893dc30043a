"""Any OpenAI-compatible endpoint as a model that generates and chats."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from fourfold.errors import UserError
from fourfold.inference.results import Continuation, Generation, Message, Sampling, TextScore

RETRIES = 4
RETRIED = {408, 429, 500, 502, 503, 504}


@final
class Endpoint:
    """`model` behind `base_url` (…/v1). The key is read from the environment and never shown.

    It refuses scoring: chat endpoints do not return the log-probabilities of a given text.
    """

    def __init__(
        self, model: str, base_url: str, *, key_variable: str = "OPENAI_API_KEY", timeout: float = 120.0
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("not a web address", where=f"openai:{model}@{base_url}", expected="http(s)://…/v1")
        self.name = model
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.host = parts.hostname
        self._key = os.environ.get(key_variable)
        # What is meant for this machine must not travel through a proxy that the environment names.
        self._opener = build_opener(_NoRedirects, *([ProxyHandler({})] if self.is_local else []))

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"generate", "chat"})

    @property
    def is_local(self) -> bool:
        """Whether its address is this machine's own (loopback), so that nothing sent to it leaves."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        answer = self._post("chat/completions", {"messages": list(messages), **_options(sampling)})
        return self._generation(answer, lambda choice: choice["message"]["content"] or "")

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None
    ) -> list[Generation]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda messages: self.chat(messages, sampling), conversations))

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]:
        def complete(prompt: str) -> Generation:
            answer = self._post("completions", {"prompt": prompt, **_options(sampling)})
            return self._generation(answer, lambda choice: choice["text"])

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(complete, prompts))

    def stream(self, prompt: str, sampling: Sampling | None = None) -> Iterator[str]:
        for event in self._events("completions", {"prompt": prompt, "stream": True, **_options(sampling)}):
            yield event["choices"][0].get("text") or ""

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Iterator[str]:
        body = {"messages": list(messages), "stream": True, **_options(sampling)}
        for event in self._events("chat/completions", body):
            yield event["choices"][0]["delta"].get("content") or ""

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        raise self._cannot_score()

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        raise self._cannot_score()

    def _cannot_score(self) -> UserError:
        return UserError(
            "this endpoint returns no log-probabilities of a given text, so it cannot score",
            where=f"openai:{self.name}",
            advice="Use generation-based tasks, or load the weights themselves (a folder, hf:… or a .gguf file).",
        )

    def _generation(self, answer: Any, text_of: Callable[[Any], str]) -> Generation:
        try:
            choice = answer["choices"][0]
            usage = answer.get("usage") or {}
            return Generation(
                text=text_of(choice),
                finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
                prompt_tokens=usage.get("prompt_tokens") or 0,
                answer_tokens=usage.get("completion_tokens") or 0,
                batch_invariant=False,
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._foreign() from None

    def _request(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps({"model": self.name, **body}).encode()
        return self._opener.open(Request(f"{self.base_url}/{path}", data, headers), timeout=self.timeout)

    def _open(self, path: str, body: dict[str, Any]) -> Any:
        for attempt in range(RETRIES + 1):
            try:
                return self._request(path, body)
            except HTTPError as error:
                if error.code not in RETRIED or attempt == RETRIES:
                    detail = error.read(500).decode(errors="replace")
                    raise UserError(f"the endpoint answered {error.code}", where=self.base_url, got=detail) from None
            except (URLError, TimeoutError, ConnectionError) as error:
                if attempt == RETRIES:
                    raise UserError("the endpoint does not answer", where=self.base_url, got=error) from None
            time.sleep(min(8.0, 0.5 * 2**attempt))
        raise AssertionError("unreachable")

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        try:
            with self._open(path, body) as response:
                return json.load(response)
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise UserError("the endpoint broke off amid its answer", where=self.base_url, got=error) from None
        except ValueError:
            raise self._foreign() from None

    def _foreign(self) -> UserError:
        return UserError(
            "the answer is not in OpenAI's form", where=self.base_url, advice="The address mostly ends in /v1."
        )

    def _events(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        """The JSON events of a server-sent stream."""
        with self._open(path, body) as response:
            for line in response:
                payload = line.decode().removeprefix("data:").strip()
                if payload == "[DONE]":
                    return
                if line.startswith(b"data:"):
                    event = json.loads(payload)
                    if event.get("choices"):
                        yield event


def _options(sampling: Sampling | None) -> dict[str, Any]:
    sampling = sampling or Sampling()
    options = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


class _NoRedirects(HTTPRedirectHandler):
    """Text and key go to the address the user named, and to no other that it points at."""

    def redirect_request(self, *arguments: Any) -> None:
        return None
