"""The routes over a real socket: answers, refusals, limits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fourfold.errors import UserError  # noqa: E402  # after the skips, with the rest that needs them
from fourfold.serving import Keys, Limits, create_app, digest  # noqa: E402
from tests.serving.doubles import app_of, encoder, served, small, speaker, until  # noqa: E402

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def app() -> Any:
    return app_of(speaker("Good day."), limits=Limits(body=100_000, answer_tokens=600), encoder=encoder())


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[Any]:
    with served(app) as address, httpx.Client(base_url=address, timeout=10) as found:
        yield found


def chat(client: Any, **body: Any) -> Any:
    return client.post("/v1/chat/completions", json={"messages": HI, **body})


def events(response: Any) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_models_and_health(client: Any) -> None:
    cards = client.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == ["butler", "encoder"]
    assert client.get("/v1/models/butler").json()["object"] == "model"
    assert client.get("/health").json() == {"status": "ok", "model": "butler"}


def test_chat_completion(client: Any) -> None:
    answer = chat(client, model="butler").json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Good day."}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == len("Good day.")
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + len("Good day.")


def test_a_cut_answer_says_length(client: Any) -> None:
    choice = chat(client, max_completion_tokens=4).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Good", "length")


def test_a_stop_string_ends_an_answer_and_does_not_show(client: Any) -> None:
    for stream in (False, True):
        response = chat(client, stop=["day", "xyz"], stream=stream)
        if stream:
            text = "".join(part["choices"][0]["delta"].get("content", "") for part in events(response))
        else:
            text = response.json()["choices"][0]["message"]["content"]
        assert text == "Good "


def test_message_parts_are_joined() -> None:
    echo = app_of(speaker(lambda prompt: "evening" if "Good evening" in prompt else "?"))
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "evening"}]
    with served(echo) as address, httpx.Client(base_url=address) as client:
        answer = chat(client, messages=[{"role": "user", "content": parts}]).json()
        assert answer["choices"][0]["message"]["content"] == "evening"


def test_chat_stream(client: Any) -> None:
    parts = events(chat(client, stream=True, stream_options={"include_usage": True}))
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert len({part["id"] for part in parts}) == 1
    *chunks, last = parts
    deltas = [part["choices"][0]["delta"] for part in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "Good day."
    assert [part["choices"][0]["finish_reason"] for part in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(part["usage"] is None for part in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 9


def test_several_choices_are_numbered(client: Any) -> None:
    answer = chat(client, n=3).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 27
    texts = ["", "", ""]
    for part in events(chat(client, n=3, stream=True)):
        texts[part["choices"][0]["index"]] += part["choices"][0]["delta"].get("content", "")
    assert texts == ["Good day."] * 3


def test_completions(client: Any) -> None:
    answer = client.post("/v1/completions", json={"prompt": ["a?", "b?"]}).json()
    assert [choice["text"] for choice in answer["choices"]] == ["Good day."] * 2
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    ids = client.post("/v1/completions", json={"prompt": list(b"a?")}).json()
    assert ids["choices"][0]["text"] == "Good day."
    parts = events(client.post("/v1/completions", json={"prompt": "a?", "stream": True}))
    assert "".join(part["choices"][0]["text"] for part in parts) == "Good day."


def test_logprobs_in_both_layouts(client: Any) -> None:
    found = chat(client, logprobs=True, top_logprobs=2).json()["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in found) == "Good day."
    assert all(
        len(entry["top_logprobs"]) == 2 and entry["top_logprobs"][0]["token"] == entry["token"] for entry in found
    )
    assert bytes(b for entry in found for b in entry["bytes"]) == b"Good day."
    body = {"prompt": "a?", "logprobs": 1, "max_tokens": 4}
    found = client.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert found["tokens"] == list("Good")
    assert found["text_offset"] == [0, 1, 2, 3]
    assert [max(entry, key=entry.get) for entry in found["top_logprobs"]] == list("Good")
    streamed = events(chat(client, logprobs=True, stream=True))
    tokens = [e["token"] for part in streamed for e in (part["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert "".join(tokens) == "Good day."


def test_tokenize_and_back(client: Any) -> None:
    assert client.post("/tokenize", json={"prompt": "ab"}).json() == {
        "tokens": [97, 98], "count": 2, "max_model_len": None,
    }  # fmt: skip
    assert client.post("/detokenize", json={"tokens": [97, 98]}).json() == {"prompt": "ab"}
    found = client.post("/tokenize", json={"messages": HI}).json()["tokens"]
    assert found == speaker("").tokenizer.encode_chat(HI)
    assert client.post("/detokenize", json={"tokens": [9999]}).status_code == 400


def test_embeddings(client: Any) -> None:
    body = {"input": ["one", "two"], "model": "encoder"}
    plain = client.post("/v1/embeddings", json=body).json()
    wanted = encoder().embed(["one", "two"])
    assert [item["index"] for item in plain["data"]] == [0, 1]
    for item, vector in zip(plain["data"], wanted.tolist(), strict=True):
        assert item["embedding"] == pytest.approx(vector, rel=1e-5)
    assert plain["usage"]["prompt_tokens"] == 6
    refused = client.post("/v1/embeddings", json=body | {"model": "butler"})
    assert refused.status_code == 400
    assert "'encoder'" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, 400, "messages"),
        ({"temperature": 9}, 400, "temperature"),
        ({"top_p": "much"}, 400, "top_p"),
        ({"n": 65}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"seed": 2**70}, 400, "seed"),
        ({"stop": [""]}, 400, "stop"),
        ({"max_tokens": 601}, 400, "max_tokens"),
        ({"functions": [{"name": "f"}]}, 400, "functions"),
        ({"modalities": ["audio"]}, 400, "modalities"),
        ({"model": "gpt-7"}, 404, "model"),
        ({"model": "../../../etc/passwd"}, 404, "model"),
        ({"model": "hf:org/name"}, 404, "model"),
    ],
)  # fmt: skip
def test_bad_requests_say_what_is_wrong(client: Any, body: dict[str, Any], status: int, param: str) -> None:
    response = chat(client, **body)
    error = response.json()["error"]
    assert response.status_code == status
    assert error["message"]
    assert error["param"].startswith(param)


def test_errors_have_the_same_shape_everywhere(client: Any) -> None:
    post = {"headers": {"Content-Type": "application/json"}}
    assert client.post("/v1/chat/completions", content=b"{", **post).json()["error"]["message"]
    assert "deep" in client.post("/v1/chat/completions", content=b"[" * 90_000, **post).json()["error"]["message"]
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405),
                                 ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404)):  # fmt: skip
        response = client.request(method, path)
        assert (response.status_code, list(response.json())) == (status, ["error"])


def test_the_document_and_its_page(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/embeddings", "/tokenize", "/health", "/metrics"} <= set(document["paths"])
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "frequency_penalty" in page.text


def test_metrics_count(client: Any) -> None:
    def value(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = value("fourfold_answer_tokens_total")
    chat(client)
    assert value("fourfold_answer_tokens_total") == before + 9
    assert value('fourfold_requests_total{route="/v1/chat/completions",status="200"}') >= 1
    assert value("fourfold_open_answers") == 0
    client.get("/made/up/by/a/client")
    assert 'route="other"' in client.get("/metrics").text


def test_the_log_has_a_line_and_no_text(app: Any, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    from fourfold.serving.journal import JsonLines

    with caplog.at_level("INFO", logger="fourfold.serving"):
        response = chat(client, messages=[{"role": "user", "content": "a private matter"}])
        until(lambda: bool(caplog.records))
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert line["id"] == response.headers["x-request-id"]
    assert (line["status"], line["answer_tokens"], line["finish"]) == (200, 9, ["stop"])
    assert "private" not in caplog.text + json.dumps(line)


def test_keys() -> None:
    app = app_of(speaker("ok"), keys=Keys({"alice": digest("secret")}))
    with served(app) as address, httpx.Client(base_url=address) as client:
        assert chat(client).status_code == 401
        assert chat(client).json()["error"]["code"] == "invalid_api_key"
        for path in ("/v1/models", "/metrics", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 401
        for header, status in (("Bearer secret", 200), ("bearer secret", 200), ("Bearer s\u00e9cret", 401),
                               ("Bearer secrets", 401), ("Basic secret", 401), ("secret", 401)):  # fmt: skip
            answer = client.get("/v1/models", headers={"Authorization": header.encode()})
            assert answer.status_code == status
        assert client.get("/health").status_code == 200


def test_without_a_key_foreign_host_names_are_refused(client: Any) -> None:
    for host, status in (("evil.example:8000", 403), ("127.0.0.1:8000", 200), ("[::1]:80", 200), ("[", 403)):
        assert client.get("/v1/models", headers={"Host": host}).status_code == status


def test_other_origins_get_no_permission_unless_named(client: Any) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/models", headers=asked).headers
    app = app_of(speaker("ok"), origins=["https://page.example"])
    with served(app) as address, httpx.Client(base_url=address) as other:
        assert other.options("/v1/models", headers=asked).headers["access-control-allow-origin"] == asked["Origin"]
        foreign = other.options("/v1/models", headers=asked | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers


def test_body_limit(client: Any) -> None:
    assert chat(client, messages=[{"role": "user", "content": "x" * 200_000}]).status_code == 413

    def without_length() -> Iterator[bytes]:
        yield b'{"messages": [{"role": "user", "content": "'
        for _ in range(3000):
            yield b"x" * 100

    assert client.post("/v1/chat/completions", content=without_length()).status_code == 413


def test_a_body_that_trickles_is_given_up() -> None:
    app = app_of(speaker("ok"), limits=Limits(reading_seconds=0.3))

    def slow() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    with served(app) as address, httpx.Client(base_url=address) as client:
        assert client.post("/v1/completions", content=slow()).status_code == 408


def test_a_full_house_says_when_to_come_back() -> None:
    app = app_of(speaker("x" * 50, pause=0.02), limits=Limits(rows=2, waiting=1))
    with served(app) as address, httpx.Client(base_url=address) as client, ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: chat(client), range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] * 3 + [429] * 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert chat(client, n=64, max_tokens=1).status_code == 429


def test_a_request_that_takes_too_long_ends() -> None:
    app = app_of(speaker("x" * 500, pause=0.02), limits=Limits(seconds=0.3))
    with served(app) as address, httpx.Client(base_url=address) as client:
        assert chat(client).status_code == 504
        parts = events(chat(client, stream=True))
        assert parts[-1]["error"]["code"] == "timeout"
        until(lambda: app.state.service.open == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place_at_once(stream: bool) -> None:
    model = speaker("x" * 5000, pause=0.01)
    app = app_of(model)
    with served(app) as address, httpx.Client(base_url=address) as client:
        if stream:
            with client.stream("POST", "/v1/completions", json={"prompt": "a", "stream": True}) as response:
                assert response.status_code == 200, response.read()
                parts = response.iter_text()  # kept, because a dropped one closes the connection
                next(parts)
                assert app.state.service.open == 1
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json={"prompt": "a"}, timeout=0.3)
        begin = time.monotonic()
        until(lambda: app.state.service.open == 0 and model.engine.counts().running == 0)
        assert time.monotonic() - begin < 1
        assert "fourfold_cancelled_total 1" in client.get("/metrics").text


def test_while_it_loads_all_but_health_is_503() -> None:
    gate = threading.Event()
    model = speaker("ok")

    def load() -> Any:
        from fourfold.serving import Loaded

        gate.wait(10)
        return Loaded(model)

    app = create_app(load, name="butler")
    with served(app, wait=False) as address, httpx.Client(base_url=address) as client:
        assert (client.get("/health").status_code, client.get("/health").json()["status"]) == (503, "loading")
        refused = chat(client)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "loading")
        assert int(refused.headers["retry-after"]) > 0
        gate.set()
        until(lambda: client.get("/health").status_code == 200)
        assert chat(client).status_code == 200


def test_a_model_that_cannot_be_loaded_is_said() -> None:
    def load() -> Any:
        raise UserError("no such model")

    app = create_app(load, name="x")
    with served(app) as address, httpx.Client(base_url=address) as client:
        assert (client.get("/health").status_code, client.get("/health").json()["status"]) == (503, "failed")
        assert chat(client).status_code == 503


def test_a_model_without_template_refuses_chat_and_names_the_alternative() -> None:
    model = speaker("ok")
    model.tokenizer.chat_template = None
    with served(app_of(model)) as address, httpx.Client(base_url=address) as client:
        response = chat(client)
        assert response.status_code == 400
        assert "/v1/completions" in response.json()["error"]["message"]


def test_an_encoder_alone_only_embeds() -> None:
    with served(app_of(None, encoder=encoder())) as address, httpx.Client(base_url=address) as client:
        assert "/v1/embeddings" in chat(client).json()["error"]["message"]
        assert len(client.post("/v1/embeddings", json={"input": "a"}).json()["data"]) == 1
        assert client.post("/tokenize", json={"prompt": "ab"}).json()["count"] == 2


def test_many_clients_get_what_each_would_get_alone() -> None:
    model = small("llama")
    app = app_of(model, limits=Limits(batch_invariant=True))
    bodies = [{"prompt": f"number {i} ", "max_tokens": 8 + i, "seed": i, "temperature": 1.0} for i in range(12)]
    with served(app) as address, httpx.Client(base_url=address, timeout=30) as client, ThreadPoolExecutor(12) as pool:
        alone = [client.post("/v1/completions", json=body).json()["choices"][0]["text"] for body in bodies]
        together = list(pool.map(lambda body: client.post("/v1/completions", json=body).json(), bodies))
        assert [answer["choices"][0]["text"] for answer in together] == alone
        counts = model.engine.counts()
        assert (counts.running, counts.waiting, counts.blocks_used) == (0, 0, 0)
