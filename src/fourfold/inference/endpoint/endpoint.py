"""Any OpenAI-compatible endpoint as a model that generates and chats, and scores where it can."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar, final

from fourfold.errors import UserError
from fourfold.inference.endpoint.cache import Cache
from fourfold.inference.endpoint.form import Echo, echoes, fields, generation
from fourfold.inference.endpoint.options import EndpointOptions, Usage
from fourfold.inference.endpoint.pace import Counter, Pace
from fourfold.inference.endpoint.wire import Refused, Wire
from fourfold.inference.results import Continuation, Generation, Message, Sampling, TextScore

T = TypeVar("T")
R = TypeVar("R")
TEXTS_AT_ONCE = 16
"""Most continuations of one context in one request."""
BYTES_A_TOKEN = 3
"""Of a request, for the pace only; corrected by what the endpoint counts."""


@final
class Endpoint:
    """`model` behind `base_url` (…/v1). The key is read from the environment and never shown.

    It scores texts only where the endpoint echoes them with log-probabilities (vLLM and llama.cpp's server do,
    OpenAI's does not); elsewhere scoring is refused with what to do instead.
    """

    def __init__(self, model: str, base_url: str, options: EndpointOptions | None = None) -> None:
        self.model = model
        self.name = model
        """What it is called here, which a run may change; `model` is what the endpoint knows."""
        self.options = options or EndpointOptions()
        self.wire = Wire(f"openai:{model}@{base_url}", base_url, self.options)
        self.base_url, self.host = self.wire.base_url, self.wire.host
        self._pace, self._counter = Pace(self.options), Counter(self.options)
        self._cache = None if self.options.cache is None else Cache(self.options.cache)

    @property
    def capabilities(self) -> frozenset[str]:
        """Whether it scores is known when it is asked to."""
        return frozenset({"generate", "chat", "score", "log_likelihood"})

    @property
    def is_local(self) -> bool:
        """Whether its address is this machine's own (loopback), so that nothing sent to it leaves."""
        return self.wire.is_local

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost so far."""
        return self._counter.usage

    def keeping(self, folder: Path) -> Self:
        """The same endpoint, which keeps every answer in `folder` as it comes; itself where it keeps them already."""
        if self._cache is not None:
            return self
        kept = copy.copy(self)
        kept._cache = Cache(folder)
        return kept

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        body = {"messages": list(messages), **fields(sampling, chat=True)}
        return self._generation("chat/completions", body, lambda choice: choice["message"]["content"] or "", sampling)

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None
    ) -> list[Generation]:
        return self._side_by_side(lambda messages: self.chat(messages, sampling), conversations)

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]:
        def complete(prompt: str) -> Generation:
            body = {"prompt": prompt, **fields(sampling, chat=False)}
            return self._generation("completions", body, lambda choice: choice["text"], sampling)

        return self._side_by_side(complete, prompts)

    def stream(self, prompt: str, sampling: Sampling | None = None) -> Iterator[str]:
        for event in self._events("completions", {"prompt": prompt, **fields(sampling, chat=False)}):
            yield event["choices"][0].get("text") or ""

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Iterator[str]:
        body = {"messages": list(messages), **fields(sampling, chat=True)}
        for event in self._events("chat/completions", body):
            yield event["choices"][0]["delta"].get("content") or ""

    # ---- scoring

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        """Log-probabilities of whole texts; refused where the first token would go unpaid. Its `ids` are not known."""
        return self._side_by_side(self._score, texts)

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        """Log-likelihood of each continuation after its context, which may not be empty.

        Split at the first token that begins where the context, but for its trailing spaces, has ended.
        Continuations of one context go into one request, so that an endpoint may read the context once.
        """
        groups = [list(group) for _, group in groupby(pairs, lambda pair: pair[0])]
        parts = [
            group[start : start + TEXTS_AT_ONCE] for group in groups for start in range(0, len(group), TEXTS_AT_ONCE)
        ]
        return [found for part in self._side_by_side(self._continuations, parts) for found in part]

    def _score(self, text: str) -> TextScore:
        (told,) = self._echo([text])
        paid = [p for p in told.log_probs if p is not None]
        if told.log_probs[0] is None and "".join(told.tokens[1:]) != text:
            raise UserError(
                "this endpoint gives no probability of a text's first token, so a whole text cannot be scored",
                where=f"openai:{self.model}",
                advice="Load the weights themselves, or ask for log_likelihood after a context.",
            )
        return TextScore(ids=[], log_probs=paid, bytes=len(text.encode()), characters=len(text))

    def _continuations(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        """Of one context."""
        stem = len(pairs[0][0].rstrip())
        if not stem:
            raise UserError("an endpoint scores a continuation only after a context", got="an empty context")
        return [
            _after(told, stem, continuation)
            for told, (_, continuation) in zip(self._echo(["".join(pair) for pair in pairs]), pairs, strict=True)
        ]

    def _echo(self, texts: Sequence[str]) -> list[Echo]:
        """The texts as the endpoint reads them: together, or one by one where it does not take them together."""
        told = self._echo_together(texts)
        if told is None and len(texts) > 1:
            return [found for text in texts for found in self._echo([text])]
        if told is None:
            raise UserError(
                "this endpoint returns no log-probabilities of a given text, so it cannot score",
                where=f"openai:{self.model}",
                advice="Use generation-based tasks, or load the weights themselves (a folder, hf:… or a .gguf file).",
            )
        return told

    def _echo_together(self, texts: Sequence[str]) -> list[Echo] | None:
        prompt = texts[0] if len(texts) == 1 else list(texts)
        body = {"prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 0}
        try:
            return self._ask("completions", body, lambda answer: echoes(answer, len(texts)))
        except Refused as error:
            if error.code not in (400, 404, 405, 422, 501):
                raise
            return None

    # ---- inside

    def _side_by_side(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        with ThreadPoolExecutor(self.options.concurrency) as pool:
            return list(pool.map(work, items))

    def _generation(
        self, path: str, body: dict[str, Any], text_of: Callable[[Any], str], sampling: Sampling | None
    ) -> Generation:
        def read(answer: Any) -> Generation:
            try:
                return generation(answer, text_of, sampling)
            except (KeyError, IndexError, TypeError, AttributeError, ValueError):
                raise self.wire.foreign() from None

        return self._ask(path, body, read)

    def _ask(self, path: str, body: dict[str, Any], read: Callable[[Any], R]) -> R:
        """The answer, from disk or from afar; what cannot be read is not kept."""
        address, body = f"{self.base_url}/{path}", {"model": self.model, **body}
        if self._cache is not None and (kept := self._cache.get(address, body)) is not None:
            self._counter.add(cached=1)
            return read(kept)
        estimated = self._estimated(body)
        self._pace.wait(estimated)
        answer = self.wire.post(path, body, self._again)
        usage = answer.get("usage") if isinstance(answer, dict) else None
        usage = usage if isinstance(usage, dict) else {}
        prompt, written = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        self._counter.add(requests=1, prompt=prompt, answer=written)
        if prompt:
            self._pace.correct(estimated, prompt + written)
        result = read(answer)
        if self._cache is not None and result is not None:
            self._cache.put(address, body, answer)
        return result

    def _events(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        body = {"model": self.model, "stream": True, **body}
        self._pace.wait(self._estimated(body))
        yield from self.wire.events(path, body, self._again)
        self._counter.add(requests=1)

    def _again(self) -> None:
        self._counter.add(retries=1)

    def _estimated(self, body: dict[str, Any]) -> int:
        """Tokens that a request may use at most, roughly."""
        text = str(body.get("prompt") or body.get("messages") or "")
        return len(text.encode()) // BYTES_A_TOKEN + int(body.get("max_tokens") or 0) * int(body.get("n") or 1)


def _after(told: Echo, stem: int, continuation: str) -> Continuation:
    """The tokens from character `stem` on."""
    first = next((place for place, start in enumerate(told.starts) if start >= stem), len(told.starts))
    log_probs = [p for p in told.log_probs[first:] if p is not None]
    if not log_probs:
        raise UserError("the continuation has no tokens of its own", got=repr(continuation[:40]))
    return Continuation(sum(log_probs), all(told.greedy[first:]), len(log_probs))
