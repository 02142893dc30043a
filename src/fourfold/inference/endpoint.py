"""Any OpenAI-compatible endpoint as a model that generates and chats."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

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
        if urlparse(base_url).scheme not in ("http", "https"):
            raise UserError("not a web address", where=f"openai:{model}@{base_url}", expected="http(s)://…/v1")
        self.name = model
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._key = os.environ.get(key_variable)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"generate", "chat"})

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        answer = self._post("chat/completions", {"messages": list(messages), **_options(sampling)})
        return _generation(answer, lambda choice: choice["message"]["content"] or "")

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None
    ) -> list[Generation]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda messages: self.chat(messages, sampling), conversations))

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]:
        def complete(prompt: str) -> Generation:
            answer = self._post("completions", {"prompt": prompt, **_options(sampling)})
            return _generation(answer, lambda choice: choice["text"])

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

    def _request(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps({"model": self.name, **body}).encode()
        return urlopen(Request(f"{self.base_url}/{path}", data, headers), timeout=self.timeout)

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
        with self._open(path, body) as response:
            return json.load(response)

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


def _generation(answer: Any, text_of: Any) -> Generation:
    choice = answer["choices"][0]
    return Generation(
        text=text_of(choice),
        finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=(answer.get("usage") or {}).get("prompt_tokens", 0),
        batch_invariant=False,
    )
