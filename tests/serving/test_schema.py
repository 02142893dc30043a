"""Requests made from the OpenAPI document, right ones and wrong ones: no 5xx, and answers as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fourfold.serving import Limits  # noqa: E402
from tests.serving.doubles import app_of, encoder, served, speaker  # noqa: E402

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROUTES = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize", "/v1/models",
          "/v1/models/{name}", "/health", "/metrics"]  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Iterator[Any]:
    with served(app_of(speaker("ok"), encoder=encoder(), limits=Limits(body=100_000))) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


def test_every_route_is_in_the_document(document: Any) -> None:
    assert sorted(found.ok().path for found in document.get_all_operations()) == sorted(ROUTES)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_keeps_to_its_document(document: Any, route: str, mode: Any) -> None:
    operation = next(found.ok() for found in document.get_all_operations() if found.ok().path == route)
    body = operation.method == "post"
    if mode is GenerationMode.NEGATIVE and not body:
        pytest.skip("nothing that could be wrong")

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=60, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def keeps(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=20)

    keeps()
