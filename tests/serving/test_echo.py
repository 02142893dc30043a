"""A text is read back with its log-probabilities: what our own client and other harnesses score with."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fourfold.inference import Endpoint  # noqa: E402
from tests.serving.doubles import app_of, served, small  # noqa: E402

LONG = "which of these sat on the mat?"
PAIRS = [("the cat", " sat"), ("the ", "ca t"), ("天 ", "空 é"), ("x", "y"), *((LONG, f" the {c}") for c in "abca")]
ECHO: dict[str, Any] = {"prompt": "the cät", "max_tokens": 0, "echo": True, "logprobs": 2}


@pytest.mark.parametrize("kind", ["5-gram", "lstm", "llama"])
def test_scores_over_the_wire_are_those_of_the_model(kind: str) -> None:
    model = small(kind)
    expected = model.log_likelihood(PAIRS)
    with served(app_of(model)) as address:
        endpoint = Endpoint(kind, f"{address}/v1")
        found = endpoint.log_likelihood(PAIRS)
    assert endpoint.usage.requests == 5  # the four continuations of one context went together
    for ours, own in zip(found, expected, strict=True):
        assert ours.log_prob == pytest.approx(own.log_prob, abs=1e-4)
        assert (ours.is_greedy, ours.tokens) == (own.is_greedy, own.tokens)


def test_texts_of_one_request_are_each_as_alone() -> None:
    texts = ["the cat sat on the mat", "the cat sat on the mat", "the cat sat on the map of a", "z", "the cat"]
    with served(app_of(small("llama"))) as address, httpx.Client(base_url=address) as client:

        def asked(prompt: Any) -> list[Any]:
            choices = client.post("/v1/completions", json=ECHO | {"prompt": prompt}).json()["choices"]
            return [choice["logprobs"] for choice in choices]

        for together, text in zip(asked(texts), texts, strict=True):
            (alone,) = asked(text)
            assert (together["tokens"], together["text_offset"]) == (alone["tokens"], alone["text_offset"])
            assert together["token_logprobs"][1:] == pytest.approx(alone["token_logprobs"][1:], abs=1e-4)
            for one, other in zip(together["top_logprobs"][1:], alone["top_logprobs"][1:], strict=True):
                assert one == pytest.approx(other, abs=1e-4)


def test_the_layout_and_what_is_refused() -> None:
    with served(app_of(small("llama"))) as address, httpx.Client(base_url=address) as client:
        answer = client.post("/v1/completions", json=ECHO).json()
        choice, told = answer["choices"][0], answer["choices"][0]["logprobs"]
        assert (choice["text"], answer["usage"]["prompt_tokens"]) == ("the cät", 8)
        assert told["token_logprobs"][0] is None
        assert told["top_logprobs"][0] is None
        assert len(told["tokens"]) == len(told["token_logprobs"]) == 8
        assert all(1 <= len(row) <= 2 for row in told["top_logprobs"][1:])  # halves of characters look alike
        assert told["text_offset"] == [0, 1, 2, 3, 4, 5, 5, 6]  # two bytes of one character
        for wrong, named in (
            ({"max_tokens": 4}, "echo"), ({"n": 2}, "echo"), ({"stream": True}, "echo"), ({"logprobs": None}, "echo"),
            ({"echo": False}, "max_tokens"), ({"prompt": ""}, "prompt"), ({"prompt": "a" * 66}, "prompt"),
        ):  # fmt: skip
            refused = client.post("/v1/completions", json=ECHO | wrong)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, named)


@pytest.mark.parametrize(
    ("field", "value"),
    [("response_format", {"type": "json_object"}), ("tools", [{"type": "function"}]), ("suffix", "x")],
)
def test_completions_refuse_what_they_would_not_heed(field: str, value: object) -> None:
    with served(app_of(small("llama"))) as address, httpx.Client(base_url=address) as client:
        refused = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 2, field: value})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
        heeded = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 2, field: None})
        assert heeded.status_code == 200
