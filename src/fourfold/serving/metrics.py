"""Counters, gauges and histograms in Prometheus's text format (version 0.0.4).

A client library would bring registries, processes and exporters; what a server of one process needs is this page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

Labels = tuple[tuple[str, str], ...]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metric(Protocol):
    def lines(self) -> Iterator[str]: ...


class Counter:
    """Only grows; one number for each set of labels."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.values: dict[Labels, float] = {}

    def add(self, amount: float = 1, **labels: str) -> None:
        key = tuple(labels.items())
        self.values[key] = self.values.get(key, 0) + amount

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.text, "counter")
        for labels, value in self.values.items() or [((), 0.0)]:
            yield f"{self.name}{_shown(labels)} {value:.15g}"


class Histogram:
    """How often values fell into each bucket. Seconds by default."""

    def __init__(self, name: str, text: str, edges: Sequence[float] = SECONDS) -> None:
        self.name, self.text, self.edges = name, text, tuple(edges)
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def see(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, self.text, "histogram")
        total = 0
        for edge, count in zip((*map(str, self.edges), "+Inf"), self.counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{edge}"}} {total}'
        yield f"{self.name}_sum {self.sum}"
        yield f"{self.name}_count {total}"


class Metrics:
    """All that the server counts."""

    def __init__(self) -> None:
        self.requests = Counter("fourfold_requests_total", "Requests answered, by route and status.")
        self.read = Counter("fourfold_prompt_tokens_total", "Tokens of prompts.")
        self.written = Counter("fourfold_answer_tokens_total", "Tokens written.")
        self.cancelled = Counter("fourfold_cancelled_total", "Requests whose client left before the end.")
        self.refused = Counter("fourfold_refused_total", "Requests refused because too many were waiting.")
        self.failures = Counter("fourfold_engine_failures_total", "Engine steps that failed as a whole.")
        self.seconds = Histogram("fourfold_request_seconds", "From the request to the end of its answer.")
        self.first = Histogram("fourfold_first_token_seconds", "From the request to its first token.")
        self.between = Histogram("fourfold_token_gap_seconds", "Between two tokens of an answer.")

    def page(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """The text Prometheus reads; `gauges` are what holds right now, by name: (help, value)."""
        metrics: list[Metric] = [self.requests, self.read, self.written, self.cancelled, self.refused, self.failures,
                                 self.seconds, self.first, self.between]  # fmt: skip
        lines = [line for metric in metrics for line in metric.lines()]
        for name, (text, value) in gauges.items():
            lines += [*_head(name, text, "gauge"), f"{name} {value:.15g}"]
        return "".join(f"{line}\n" for line in lines)


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _shown(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
