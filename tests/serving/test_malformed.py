"""Two thousand malformed bodies: each is refused with 4xx and a sentence, and the server still answers."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")

from fourfold.serving import Limits
from tests.serving.doubles import app_of, encoder, served, speaker

HI = [{"role": "user", "content": "Hi"}]
CHAT = {
    "model": "butler", "messages": HI, "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1,
    "stop": ["x"], "seed": 1, "stream": False, "stream_options": {"include_usage": True}, "n": 1,
    "presence_penalty": 0.1, "frequency_penalty": 0.1, "repetition_penalty": 1.1, "logit_bias": {"5": 1},
    "logprobs": True, "top_logprobs": 1, "tool_choice": "auto", "response_format": {"type": "text"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "butler", "prompt": "a?", "max_tokens": 3, "logprobs": 1, "n": 1, "seed": 1},
    "/v1/embeddings": {"model": "encoder", "input": ["a"], "encoding_format": "float"},
    "/tokenize": {"model": "butler", "prompt": "a"},
    "/detokenize": {"model": "butler", "tokens": [1]},
}
WRONG = [{"x": [1]}, [[["x"]]], [{"y": 2}], -7, 10**40, "\u0000wrong", [None], 3.5e300, True, "", []]
CHANGES = ("type", "number", "cut", "bytes", "missing", "deep", "word", "list")


def malformed(chance: random.Random) -> tuple[str, bytes]:
    """A route and a body that is not right for it, most of the time."""
    path = chance.choice(list(BODIES))
    body: dict[str, Any] = json.loads(json.dumps(BODIES[path]))
    field = chance.choice(list(body))
    kind = chance.choice(CHANGES)
    text = json.dumps(body)
    if kind == "cut":
        return path, text[: chance.randrange(len(text))].encode()
    if kind == "bytes":
        raw = bytearray(text.encode())
        for _ in range(chance.randrange(1, 6)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        return path, bytes(raw)
    if kind == "word":
        return path, text.replace(
            json.dumps(body[field]), chance.choice(["NaN", "Infinity", "-Infinity", "nul"])
        ).encode()
    if kind == "deep":
        return path, (b'{"messages": ' + b"[" * chance.randrange(10, 60_000))
    if kind == "list":
        return path, json.dumps([body]).encode()
    if kind == "missing":
        needed = chance.choice([name for name in ("messages", "prompt", "input", "tokens") if name in body])
        del body[needed]
    else:
        body[field] = chance.choice(WRONG)
    return path, json.dumps(body).encode()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(app_of(speaker("ok"), encoder=encoder(), limits=Limits(body=100_000))) as found:
        yield found


def post(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def test_two_thousand_malformed_bodies(address: str) -> None:
    chance = random.Random(2026)
    refused = tried = 0
    with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)) as connection:
        while refused < 2000:
            path, body = malformed(chance)
            tried += 1
            status, answer = post(connection, path, body)
            assert status < 500, (path, body[:200], answer)
            if status != 200:
                error = json.loads(answer)["error"]
                assert 10 <= len(error["message"]) < 500, (path, body[:200], error)
                assert error["message"].isprintable()
                assert error["message"].endswith((".", "?")), (path, body[:200], error)
                refused += 1
        assert refused / tried > 0.8
        assert post(connection, "/v1/completions", json.dumps(BODIES["/v1/completions"]).encode())[0] == 200


def test_what_is_no_http_at_all_harms_nobody(address: str) -> None:
    import socket

    place = urlsplit(address)
    for junk in (b"\x00\xff\x13 nonsense\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                 b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
        with socket.create_connection((place.hostname, place.port), timeout=5) as raw:
            raw.sendall(junk)
            assert raw.recv(100).startswith(b"HTTP/1.1 4")
    with closing(http.client.HTTPConnection(place.netloc, timeout=10)) as connection:
        assert post(connection, "/tokenize", b'{"prompt": "a"}')[0] == 200
