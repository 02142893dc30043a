"""The page for Prometheus, against hand-written lines and Prometheus's own parser where it is installed."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")

from fourfold.serving.metrics import Histogram, Metrics


def test_a_histogram_is_cumulative() -> None:
    seconds = Histogram("s", "Seconds.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        seconds.see(value)
    assert list(seconds.lines()) == [
        "# HELP s Seconds.", "# TYPE s histogram",
        's_bucket{le="0.1"} 2', 's_bucket{le="1.0"} 3', 's_bucket{le="+Inf"} 4', "s_sum 3.65", "s_count 4",
    ]  # fmt: skip


def test_prometheus_reads_the_page() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics()
    metrics.requests.add(route='a"b\\c\nd', status="200")
    metrics.written.add(12_345_678)
    metrics.first.see(0.3)
    found = {family.name: family for family in parser.text_string_to_metric_families(metrics.page({"g": ("G.", 2)}))}
    (request,) = found["fourfold_requests"].samples
    assert request.labels == {"route": 'a"b\\c\nd', "status": "200"}
    assert found["fourfold_answer_tokens"].samples[0].value == 12_345_678
    assert found["g"].samples[0].value == 2
    assert found["fourfold_first_token_seconds"].type == "histogram"
