"""The server, over ASGI with the scripted double, and with the official client over a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.inference import Generation, LanguageModel, Message, Sampling, ScriptedModel
from fourfold.models import build_model
from fourfold.models.ngram import train_ngram
from fourfold.tokenizers import byte_tokenizer

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

import asyncio  # noqa: E402  # after the skips, with the rest that needs them

from fourfold.serving import create_app  # noqa: E402


def ask(app: Any, method: str, path: str, **options: Any) -> Any:
    async def call() -> Any:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **options)

    return asyncio.run(call())


def chat(app: Any, **body: Any) -> Any:
    return ask(app, "POST", "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}], **body})


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(["Good day."], name="butler")


@pytest.fixture
def app(model: ScriptedModel) -> Any:
    return create_app(model)


def events(response: Any) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_models_and_health(app: Any) -> None:
    (card,) = ask(app, "GET", "/v1/models").json()["data"]
    assert (card["id"], card["object"]) == ("butler", "model")
    assert ask(app, "GET", "/health").json() == {"status": "ok", "model": "butler"}


def test_chat_completion(app: Any, model: ScriptedModel) -> None:
    answer = chat(app, model="butler").json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Good day."}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == len("Good day.")
    assert model.conversations == [[{"role": "user", "content": "Hi"}]]


def test_a_cut_answer_says_length(app: Any) -> None:
    choice = chat(app, max_completion_tokens=4).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Good", "length")


def test_message_parts_are_joined(app: Any, model: ScriptedModel) -> None:
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "evening"}]
    assert chat(app, messages=[{"role": "user", "content": parts}]).status_code == 200
    assert model.conversations[-1] == [{"role": "user", "content": "Good evening"}]


def test_chat_stream(app: Any) -> None:
    parts = events(chat(app, stream=True))
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert len({part["id"] for part in parts}) == 1
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "Good day."
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]


def test_completions(app: Any) -> None:
    answer = ask(app, "POST", "/v1/completions", json={"prompt": ["a", "b"]}).json()
    assert [choice["text"] for choice in answer["choices"]] == ["Good day."] * 2
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    parts = events(ask(app, "POST", "/v1/completions", json={"prompt": "a", "stream": True}))
    assert "".join(part["choices"][0]["text"] for part in parts) == "Good day."


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "messages.0.role"),
        ({"temperature": 9}, 400, "temperature"),
        ({"top_p": "much"}, 400, "top_p"),
        ({"n": 2}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"model": "gpt-7"}, 404, "model"),
    ],
)
def test_bad_requests_say_what_is_wrong(app: Any, body: dict[str, Any], status: int, param: str) -> None:
    response = chat(app, **body)
    error = response.json()["error"]
    assert response.status_code == status
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["param"].startswith(param)


def test_errors_have_the_same_shape_everywhere(app: Any) -> None:
    assert ask(app, "POST", "/v1/chat/completions", content=b"{").json()["error"]["message"]
    assert ask(app, "GET", "/v1/nothing").status_code == 404
    assert "error" in ask(app, "GET", "/v1/nothing").json()
    assert ask(app, "GET", "/v1/chat/completions").status_code == 405


class Failing:
    """A model that cannot do what it is asked."""

    name = "failing"
    capabilities = frozenset({"generate", "chat"})

    def __init__(self, error: Exception) -> None:
        self.error = error

    def chat(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        raise self.error

    def generate(self, prompts: Sequence[str], sampling: Sampling) -> list[Generation]:
        raise self.error

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        yield "a"
        raise self.error

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str]:
        raise self.error
        yield ""


def test_a_users_error_is_a_400_also_before_a_stream() -> None:
    app = create_app(Failing(UserError("the prompt is longer than the context")))
    for stream in (False, True):
        response = chat(app, stream=stream)
        assert response.status_code == 400
        assert "longer than the context" in response.json()["error"]["message"]


def test_an_error_inside_a_stream_is_told_and_frees_the_model() -> None:
    app = create_app(Failing(UserError("the cache is full")))
    for _ in range(2):
        parts = events(ask(app, "POST", "/v1/completions", json={"prompt": "a", "stream": True}))
        assert "cache is full" in parts[-1]["error"]["message"]


def test_our_error_is_a_500_without_details() -> None:
    response = chat(create_app(Failing(RuntimeError("secret"))))
    assert response.status_code == 500
    assert "secret" not in response.text


def test_a_model_without_template_refuses_chat_and_names_the_alternative() -> None:
    model = Failing(UserError("x"))
    model.capabilities = frozenset({"generate"})
    response = chat(create_app(model))
    assert response.status_code == 400
    assert "/v1/completions" in response.json()["error"]["message"]


def test_key() -> None:
    app = create_app(ScriptedModel(["ok"]), api_key="secret")
    assert chat(app).status_code == 401
    assert chat(app).json()["error"]["code"] == "invalid_api_key"
    for header, status in (("Bearer secret", 200), ("Bearer sécret", 401), ("Bearer secrets", 401)):
        answer = ask(app, "GET", "/v1/models", headers={"Authorization": header.encode()})
        assert answer.status_code == status
    assert ask(app, "GET", "/health").status_code == 200


def test_without_a_key_foreign_host_names_are_refused(app: Any) -> None:
    assert ask(app, "GET", "/v1/models", headers={"Host": "evil.example:8000"}).status_code == 403
    assert ask(app, "GET", "/v1/models", headers={"Host": "127.0.0.1:8000"}).status_code == 200


def test_body_limit(model: ScriptedModel) -> None:
    app = create_app(model, body_limit=1000)
    assert chat(app, messages=[{"role": "user", "content": "x" * 2000}]).status_code == 413

    async def without_length() -> Any:
        yield b'{"messages": [{"role": "user", "content": "'
        for _ in range(30):
            yield b"x" * 100

    assert ask(app, "POST", "/v1/chat/completions", content=without_length()).status_code == 413
    assert model.conversations == []


class Counting(Failing):
    """Notices when two generations run at once."""

    name = "counting"

    def __init__(self) -> None:
        self.running, self.most, self.lock = 0, 0, threading.Lock()

    def chat(self, messages: Sequence[Message], sampling: Sampling) -> Generation:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.02)
        with self.lock:
            self.running -= 1
        return Generation(text="done")


def test_one_generation_at_a_time() -> None:
    model = Counting()
    app = create_app(model)

    async def many() -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
            body = {"messages": [{"role": "user", "content": "x"}]}
            return await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(6)))

    assert [answer.status_code for answer in asyncio.run(many())] == [200] * 6
    assert model.most == 1


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of a server on a real socket."""
    uvicorn = pytest.importorskip("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def address(app: Any) -> Iterator[str]:
    with served(app) as found:
        yield found


def test_the_official_client(address: str) -> None:
    openai = pytest.importorskip("openai")
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
        assert [card.id for card in client.models.list()] == ["butler"]
        answer = client.chat.completions.create(model="butler", messages=messages, temperature=0, max_tokens=20)
        assert answer.choices[0].message.content == "Good day."
        with client.chat.completions.create(model="butler", messages=messages, stream=True) as stream:
            assert "".join(part.choices[0].delta.content or "" for part in stream) == "Good day."
        assert client.completions.create(model="butler", prompt="Once").choices[0].text == "Good day."
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=messages)


def test_our_own_endpoint_client(address: str) -> None:
    from fourfold.inference import Endpoint

    endpoint = Endpoint("butler", address)
    assert endpoint.chat([{"role": "user", "content": "Hi"}]).text == "Good day."
    assert "".join(endpoint.stream_chat([{"role": "user", "content": "Hi"}])) == "Good day."
    assert "".join(endpoint.stream("Once")) == "Good day."


@pytest.mark.parametrize("kind", ["5-gram", "lstm", "feed-forward", "llama"])
def test_every_generation_answers_the_same_calls(kind: str) -> None:
    openai = pytest.importorskip("openai")
    tokenizer = byte_tokenizer()
    if kind == "5-gram":
        texts = [list(b"the cat sat on the mat and the cat sat on the hat")] * 3
        module: Any = train_ngram(texts, order=5, vocabulary_size=tokenizer.vocabulary_size, bos_id=256)
    else:
        table = {"family": kind, "layers": 1, "hidden_size": 16, "heads": 2, "context": 64}
        module = build_model(table, tokenizer.vocabulary_size).eval()
    app = create_app(LanguageModel(module, tokenizer, name=kind))
    with served(app) as address, openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
        assert [card.id for card in client.models.list()] == [kind]
        options: dict[str, Any] = {"model": kind, "prompt": "the cat", "max_tokens": 8, "temperature": 0}
        whole = client.completions.create(**options)
        with client.completions.create(**options, stream=True) as stream:
            assert "".join(part.choices[0].text for part in stream) == whole.choices[0].text
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 8
        if kind == "5-gram":
            assert whole.choices[0].text == " sat on "
