"""The endpoint client against a small server of the same wire format."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from fourfold.errors import UserError
from fourfold.inference import Endpoint, Sampling

ODD = {
    "cut": b'{"choices": [',
    "html": b"<html>",
    "list": b"[]",
    "empty": b'{"choices": []}',
    "bare": b'{"choices": [{}]}',
}
HELLO = [{"role": "user", "content": "Hi"}]


class Handler(BaseHTTPRequestHandler):
    failures = 0
    seen: ClassVar[list[tuple[str, str | None, dict]]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append((self.path, self.headers.get("Authorization"), body))
        if type(self).failures > 0:
            type(self).failures -= 1
            self.send_error(503)
            return
        if body["model"] == "absent":
            self.send_error(404)
            return
        if body["model"] == "elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/v1/chat/completions")
            self.end_headers()
            return
        if body["model"] in ODD:
            self.send_response(200)
            self.send_header("Content-Length", "500" if body["model"] == "cut" else str(len(ODD[body["model"]])))
            self.end_headers()
            self.wfile.write(ODD[body["model"]])
            return
        if body["model"] == "one-text" and not isinstance(body["prompt"], str):
            self.send_error(400)
            return
        self.send_response(200)
        self.end_headers()
        if body["model"] == "one-text":
            tokens = list(body["prompt"])
            told = {"tokens": tokens, "token_logprobs": [None, *(-1.0 for _ in tokens[1:])]}
            self.wfile.write(json.dumps({"choices": [{"logprobs": told}]}).encode())
            return
        if body.get("stream"):
            for piece in ("Hel", "lo"):
                self.wfile.write(f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
        else:
            choice = {"message": {"content": "Hello"}, "text": "Hello", "finish_reason": "length"}
            self.wfile.write(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}}).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    Handler.failures, Handler.seen = 0, []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_chat_and_generate(address):
    model = Endpoint("m", address)
    answer = model.chat([{"role": "user", "content": "Hi"}], Sampling(max_tokens=5, temperature=0, stop="."))
    assert (answer.text, answer.finish_reason, answer.prompt_tokens) == ("Hello", "length", 3)
    path, key, body = Handler.seen[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "temperature": 0,
        "stop": ["."],
    }
    assert [g.text for g in model.generate(["a", "b"])] == ["Hello", "Hello"]


def test_stream(address):
    assert list(Endpoint("m", address).stream_chat([{"role": "user", "content": "Hi"}])) == ["Hel", "lo"]


def test_a_busy_endpoint_is_asked_again(address):
    Handler.failures = 1
    assert Endpoint("m", address).chat([{"role": "user", "content": "Hi"}]).text == "Hello"
    assert len(Handler.seen) == 2


def test_a_refusal_is_one_sentence(address):
    with pytest.raises(UserError, match="answered 404"):
        Endpoint("absent", address).chat([{"role": "user", "content": "Hi"}])


def test_scoring_is_refused_with_the_alternative(address):
    with pytest.raises(UserError, match="Use generation-based tasks"):
        Endpoint("m", address).log_likelihood([("a", "b")])


def test_an_endpoint_that_reads_one_text_a_request_is_asked_one_by_one(address):
    found = Endpoint("one-text", address).log_likelihood([("ab", "c"), ("ab", "cde")])
    assert [one.log_prob for one in found] == [-1.0, -3.0]
    assert [body["prompt"] for _, _, body in Handler.seen] == [["abc", "abcde"], "abc", "abcde"]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("cut", "broke off amid"), *((name, "not in OpenAI's form") for name in ODD if name != "cut")],
)
def test_a_foreign_or_broken_answer_is_one_sentence(address, model, sentence):
    with pytest.raises(UserError, match=sentence):
        Endpoint(model, address).chat(HELLO)


def test_a_redirection_is_not_followed(address):
    with pytest.raises(UserError, match="answered 302"):
        Endpoint("elsewhere", address).chat(HELLO)


def test_what_is_meant_for_this_machine_passes_no_proxy(address, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Endpoint("m", address).chat(HELLO).text == "Hello"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://[::1]:8000/v1", True),
        ("https://api.example.com/v1", False),
        ("http://127.0.0.1@example.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://localhost.example.com/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://192.168.1.5/v1", False),
    ],
)
def test_which_addresses_are_this_machine(url, local):
    assert Endpoint("m", url).is_local == local
