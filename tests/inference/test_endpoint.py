"""The endpoint client against a small server of the same wire format."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from fourfold.errors import UserError
from fourfold.inference import Endpoint, Sampling


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
        self.send_response(200)
        self.end_headers()
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
