"""Requests made from the OpenAPI document, right ones and wrong ones: no 5xx, and answers as the document says."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402

from fourfold.serving import Limits  # noqa: E402
from tests.serving.doubles import app_of, encoder, served, speaker  # noqa: E402


@pytest.fixture(scope="module")
def document() -> Any:
    with served(app_of(speaker("ok"), encoder=encoder(), limits=Limits(body=100_000))) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_route_keeps_to_its_document(case: Any) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    case.call_and_validate(
        checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance],
        timeout=20,
    )
