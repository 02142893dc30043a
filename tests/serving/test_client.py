"""The official client against a live server: every call it makes, every class of error it raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
openai = pytest.importorskip("openai")

from fourfold.serving import Keys, Limits, digest  # noqa: E402
from tests.serving.doubles import app_of, encoder, served, small, speaker  # noqa: E402

QWEN = (
    "{% if tools %}<s>system\n{% for tool in tools %}{{ tool | tojson }}{% endfor %}<tool_call></s>\n{% endif %}"
    "{% for message in messages %}<s>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}</s>\n"
    "{% endfor %}{{ '<s>assistant\n' }}"
)
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def reply(prompt: str) -> str:
    if "Sunny" in prompt:
        return "It is sunny in Paris."
    return CALL if "get_weather" in prompt and "weather in Paris" in prompt else "Good day."


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    app = app_of(
        speaker(reply, template=QWEN, context=2000), encoder=encoder(), keys=Keys({"test": digest("right")}),
        limits=Limits(body=50_000),
    )  # fmt: skip
    with served(app) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="right", max_retries=0) as found:
        yield found


HI: list[Any] = [{"role": "user", "content": "Hi"}]


def test_a_conversation(client: Any) -> None:
    assert [card.id for card in client.models.list()] == ["butler", "encoder"]
    assert client.models.retrieve("butler").owned_by == "fourfold"
    answer = client.chat.completions.create(model="butler", messages=HI, temperature=0, max_tokens=20)
    assert answer.choices[0].message.content == "Good day."
    turns = [*HI, answer.choices[0].message, {"role": "user", "content": "And?"}]
    again = client.chat.completions.create(model="butler", messages=turns, n=2, seed=1)
    assert [choice.message.content for choice in again.choices] == ["Good day."] * 2
    assert client.completions.create(model="butler", prompt="Once?").choices[0].text == "Good day."


def test_streams(client: Any) -> None:
    options: Any = {"stream_options": {"include_usage": True}}
    parts = list(client.chat.completions.create(model="butler", messages=HI, stream=True, **options))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "Good day."
    assert parts[-1].usage.completion_tokens == 9
    texts = client.completions.create(model="butler", prompt="Once?", stream=True)
    assert "".join(part.choices[0].text for part in texts) == "Good day."
    with client.chat.completions.stream(model="butler", messages=HI) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Good day."


def test_tools(client: Any) -> None:
    turns: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = client.chat.completions.create(model="butler", messages=turns, tools=[WEATHER])
    (call,) = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.content is None
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    turns += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees"}]
    second = client.chat.completions.create(model="butler", messages=turns, tools=[WEATHER])
    assert second.choices[0].message.content == "It is sunny in Paris."
    assert second.choices[0].finish_reason == "stop"
    none = client.chat.completions.create(model="butler", messages=turns[:1], tools=[WEATHER], tool_choice="none")
    assert none.choices[0].message.tool_calls is None


def test_tool_calls_in_a_stream(client: Any) -> None:
    turns: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    with client.chat.completions.stream(model="butler", messages=turns, tools=[WEATHER]) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert len([piece for piece in pieces if piece]) > 5
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})


def test_logprobs(client: Any) -> None:
    answer = client.chat.completions.create(model="butler", messages=HI, logprobs=True, top_logprobs=3)
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == "Good day."
    assert all(len(entry.top_logprobs) == 3 and entry.logprob == entry.top_logprobs[0].logprob for entry in entries)
    older = client.completions.create(model="butler", prompt="a?", logprobs=2).choices[0].logprobs
    assert older.tokens == list("Good day.")


def test_embeddings(client: Any) -> None:
    # The client asks for base64 by itself and unpacks it.
    found = client.embeddings.create(model="encoder", input=["one", "two"])
    for item, vector in zip(found.data, encoder().embed(["one", "two"]).tolist(), strict=True):
        assert item.embedding == pytest.approx(vector, rel=1e-5)


def test_every_class_of_error(client: Any) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no model 'other'"):
        create(model="other", messages=HI)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        create(model="butler", messages=HI, temperature=9)
    with pytest.raises(openai.BadRequestError) as long:
        create(model="butler", messages=[{"role": "user", "content": "x" * 3000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.APIStatusError, match="larger than") as large:
        create(model="butler", messages=[{"role": "user", "content": "x" * 60_000}])
    assert large.value.status_code == 413
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(rows=1, waiting=0), openai.RateLimitError),
        (Limits(seconds=0.2), openai.InternalServerError),
        (Limits(), openai.APITimeoutError),
    ],
)
def test_errors_of_load(limits: Limits, error: type[Exception]) -> None:
    app = app_of(speaker("x" * 200, pause=0.02), limits=limits)
    options: Any = {"api_key": "none", "max_retries": 0, "timeout": 1.0}
    with served(app) as address, openai.OpenAI(base_url=f"{address}/v1", **options) as client, pytest.raises(error):
        client.chat.completions.create(model="butler", messages=HI, n=2 if limits.waiting == 0 else 1)


def test_our_own_endpoint_client() -> None:
    from fourfold.inference import Endpoint

    with served(app_of(speaker("Good day."))) as address:
        endpoint = Endpoint("butler", f"{address}/v1")
        assert endpoint.chat([{"role": "user", "content": "Hi"}]).text == "Good day."
        assert "".join(endpoint.stream_chat([{"role": "user", "content": "Hi"}])) == "Good day."
        assert "".join(endpoint.stream("Once?")) == "Good day."


@pytest.mark.parametrize("kind", ["5-gram", "lstm", "feed-forward", "llama"])
def test_every_generation_answers_the_same_calls(kind: str) -> None:
    with (
        served(app_of(small(kind))) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        assert [card.id for card in client.models.list()] == [kind]
        options: dict[str, Any] = {"model": kind, "prompt": "the cat", "max_tokens": 8, "temperature": 0}
        whole = client.completions.create(**options, logprobs=2)
        with client.completions.create(**options, stream=True) as stream:
            assert "".join(part.choices[0].text for part in stream) == whole.choices[0].text
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 8
        assert len(whole.choices[0].logprobs.token_logprobs) == 8
        answer = client.chat.completions.create(model=kind, messages=HI, max_tokens=4, n=2, seed=3)
        assert len(answer.choices) == 2
        if kind == "5-gram":
            assert whole.choices[0].text == " sat on "


@pytest.fixture
def free() -> Iterator[Any]:
    """A model that would write anything: what is right about its answers is the constraint's doing."""
    pytest.importorskip("llguidance")
    model = small("llama", context=1024)
    with served(app_of(model)) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none") as found:
        yield found


def test_json_by_a_schema(free: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["cat", "dog"]}, "legs": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["kind", "legs"],
        "additionalProperties": False,
    }
    format: Any = {"type": "json_schema", "json_schema": {"name": "animal", "schema": schema, "strict": True}}
    for stream in (False, True):
        options: Any = {"model": "llama", "messages": HI, "seed": 1, "response_format": format, "stream": stream}
        answer = free.chat.completions.create(**options)
        text = (
            "".join(part.choices[0].delta.content or "" for part in answer)
            if stream
            else answer.choices[0].message.content
        )
        value = json.loads(text)
        assert value["kind"] in ("cat", "dog")
        assert 0 <= value["legs"] <= 9


def test_a_tool_that_must_be_called_is_called(free: Any) -> None:
    city: Any = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"],
                 "additionalProperties": False}  # fmt: skip
    tools = [{"type": "function", "function": {"name": name, "parameters": city}} for name in ("a", "b")]
    named: Any = {"type": "function", "function": {"name": "b"}}
    for choice, names in (("required", ["a", "b"]), (named, ["b"])):
        answer = free.chat.completions.create(
            model="llama", messages=HI, tools=tools, tool_choice=choice, max_tokens=300
        )
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name in names
        assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
        assert answer.choices[0].finish_reason == "tool_calls"


def test_other_forms(free: Any) -> None:
    def written(**form: Any) -> str:
        create = free.completions.create
        return str(create(model="llama", prompt="a", seed=2, max_tokens=50, extra_body=form).choices[0].text)

    assert written(choice=["yes", "no"]) in ("yes", "no")
    assert len(written(regex="[a-c]{3}")) == 3
    assert written(grammar='start: "x" "y"') == "xy"
    with pytest.raises(openai.BadRequestError, match="one form"):
        written(regex="a", choice=["b"])
    with pytest.raises(openai.BadRequestError, match="not among"):
        free.chat.completions.create(model="llama", messages=HI, tool_choice="required")
