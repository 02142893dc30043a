"""A poisoned request fails alone, in a sentence, while the others go on to the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fourfold.serving import Limits  # noqa: E402
from tests.serving.doubles import POISON, app_of, served, speaker, until  # noqa: E402

LONG = "All is well and goes on being well to the end. " * 4
TEMPLATE = (
    "{% for message in messages %}<s>{{ message.role }}\n{{ message.content }}</s>\n"
    "{% if 'RAISE' in message.content %}{{ raise_exception('I will not') }}{% endif %}"
    "{% if 'LOOP' in message.content %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    "{% endif %}{% if 'GROW' in message.content %}{{ 'x' * 10**11 }}{% endif %}"
    "{% endfor %}{{ '<s>assistant\n' }}"
)


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}}
    return schema


def formatted(schema: dict[str, Any]) -> dict[str, Any]:
    return user("Hi") | {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


POISONED: dict[str, tuple[dict[str, Any], int, str]] = {
    "not a number": (user(POISON), 500, "not a number"),
    "template that raises": (user("RAISE"), 400, "I will not"),
    "template without end": (user("LOOP"), 400, "time or memory"),
    "template that grows": (user("GROW"), 400, "time or memory"),
    "schema bomb": (formatted(nested(14)), 400, ""),
    "10 MB prompt": (user("x" * 10_000_000), 413, "larger than"),
    "unknown adapter": (user("Hi") | {"model": "nobody"}, 404, "no model 'nobody'"),
    "longer than the context": (user("x" * 6000), 400, "does not fit"),
}


@pytest.fixture(scope="module")
def app() -> Any:
    model = speaker(LONG, template=TEMPLATE, pause=0.002, context=4000)
    return app_of(model, limits=Limits(template_seconds=1.0))


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[Any]:
    with served(app) as address, httpx.Client(base_url=address, timeout=30) as found:
        yield found


@pytest.mark.parametrize("expression", ["((a{1,1000}){1,1000}){1,1000}", "(a|aa|aaa)*" * 40 + "b", "(.*x){400}"])
def test_an_expression_made_to_blow_up_costs_little(app: Any, client: Any, expression: str) -> None:
    """It is refused, or read at a bounded cost; what it may not do is to hold up the others."""
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(client.post, "/v1/chat/completions", json=user(f"Hello {i}")) for i in range(3)]
        until(lambda: app.state.service.open == 3)
        body = user("Hi") | {"regex": expression, "max_tokens": 20}
        begin = time.monotonic()
        assert client.post("/v1/chat/completions", json=body).status_code in (200, 400)
        assert time.monotonic() - begin < 5
        for other in others:
            assert other.result().json()["choices"][0]["message"]["content"] == LONG


@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_request_fails_alone(app: Any, client: Any, name: str) -> None:
    body, status, reason = POISONED[name]
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(client.post, "/v1/chat/completions", json=user(f"Hello {i}")) for i in range(3)]
        until(lambda: app.state.service.open == 3)
        begin = time.monotonic()
        answer = client.post("/v1/chat/completions", json=body)
        assert time.monotonic() - begin < 5
        assert answer.status_code == status, answer.text[:300]
        assert reason in answer.json()["error"]["message"]
        for other in others:
            assert other.result().json()["choices"][0]["message"]["content"] == LONG
    until(lambda: app.state.service.open == 0)
    assert client.post("/v1/chat/completions", json=user("Hello") | {"max_tokens": 3}).status_code == 200
