"""Searches over HTTP: what each gives by the library, beside other answers; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fourfold.inference import Beam, BestOf, Contrastive, LanguageModel, Sampling  # noqa: E402  # after the skips
from fourfold.serving import Limits, Loaded, create_app  # noqa: E402
from tests.serving.doubles import app_of, served, small  # noqa: E402

PROMPT = "Q: why?"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return small("llama")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    served_model = small("llama")
    served_model.limits = Limits().engine
    app = create_app(lambda: Loaded(served_model, draft=small("gpt2")), name="llama")
    with served(app) as address, httpx.Client(base_url=address, timeout=30) as found:
        yield found


def complete(client: Any, **body: Any) -> Any:
    return client.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 12, **body})


WISHES: list[tuple[dict[str, Any], Sampling]] = [
    ({"temperature": 0}, Sampling(max_tokens=12, temperature=0)),
    ({"beams": 3, "length_penalty": 0.5}, Sampling(max_tokens=12, strategy=Beam(size=3, length_penalty=0.5))),
    ({"contrastive": 0.5, "top_k": 3}, Sampling(max_tokens=12, top_k=3, strategy=Contrastive(alpha=0.5, k=3))),
    ({"speculative": True, "temperature": 0}, Sampling(max_tokens=12, temperature=0)),
]


def test_each_search_answers_as_the_library_does_beside_the_others(client: Any, model: LanguageModel) -> None:
    wanted = [model.generate([PROMPT], sampling)[0].text for _, sampling in WISHES]
    assert len(set(wanted)) == 3  # guessing changes nothing
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda wish: complete(client, **wish[0]).json()["choices"][0]["text"], WISHES * 3))
    assert found == wanted * 3


def test_a_search_is_streamed(client: Any, model: LanguageModel) -> None:
    text = complete(client, speculative=True, temperature=0, stream=True).text
    assert text.count("data: ") >= 3
    assert text.endswith("data: [DONE]\n\n")


def test_the_best_of_several(client: Any, model: LanguageModel) -> None:
    options = {"temperature": 1.0, "seed": 4}
    best = model.generate([PROMPT], Sampling(max_tokens=12, n=2, strategy=BestOf(count=5), **options))[0]
    found = complete(client, n=2, best_of=5, **options).json()
    assert [choice["text"] for choice in found["choices"]] == [best.text, best.others[0].text]
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    assert found["usage"]["completion_tokens"] > 2 * 12


@pytest.mark.parametrize(
    "body",
    [
        {"beams": 2, "contrastive": 0.5},
        {"beams": 2, "n": 2},
        {"beams": 2, "repetition_penalty": 1.1},
        {"beams": 0},
        {"contrastive": 2},
        {"best_of": 2, "n": 3},
        {"best_of": 3, "stream": True},
        {"best_of": 3, "beams": 2},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(client: Any, body: dict[str, Any]) -> None:
    assert complete(client, **body).status_code == 400


def test_a_search_too_large_is_refused_and_a_failing_one_fails_alone() -> None:
    tiny = app_of(small("llama"), limits=Limits(kv_bytes=20_000))
    with served(tiny) as address, httpx.Client(base_url=address) as client:
        refused = complete(client, beams=16)
        assert refused.status_code == 400
        assert "needs more memory" in refused.json()["error"]["message"]
        assert complete(client).status_code == 200
    with served(app_of(small("5-gram"))) as address, httpx.Client(base_url=address) as client:
        assert "hidden vectors" in complete(client, contrastive=0.5).json()["error"]["message"]
        assert complete(client, beams=2).status_code == 200
