"""The cards of data and models: the facts a stage wrote down about itself, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fourfold.resources import ModelCard
from fourfold.workflow.report.formatting import count, duration, fixed, short_count, size
from fourfold.workflow.report.language import Text, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.reading import mapping, number, records, text
from fourfold.workflow.report.records import Stage, published_card

HIDDEN = frozenset({"label", "warnings", "config", "groups", "sources", "samples", "sentence"})
SIZES = frozenset({"bytes", "peak_memory_bytes", "memory_bytes", "file_bytes"})
LONGEST = 160


@dataclass(frozen=True, kw_only=True)
class Card:
    title: str
    key: str
    facts: tuple[tuple[Text, Text], ...]
    groups: tuple[tuple[str, ...], ...]
    """Rows of (group, documents, bytes, how it was held out) of a corpus."""
    sources: tuple[tuple[str, ...], ...]
    """Rows of (source, licence, files, bytes) of a corpus."""
    source: str


def cards(run: Run, *kinds: str) -> list[Card]:
    return [_card(stage) for stage in run.of_kind(*kinds) if stage.card]


def machine_facts(run: Run) -> list[tuple[str, str]]:
    """On what and with what the run was made, from its manifest."""
    machine = mapping(run.manifest.get("machine"))
    facts = [("seed", text(run.manifest.get("seed")))] if "seed" in run.manifest else []
    for part in (machine, mapping(machine.get("packages")), mapping(run.manifest.get("versions"))):
        facts += [(str(key), _format(str(key))(value)) for key, value in part.items() if isinstance(value, str | int)]
    return facts


def published_cards(run: Run) -> list[Card]:
    """Cards of the models the run used and did not make, as the catalogue has them."""
    used = [row.model for row in run.scores] + [row.model for row in run.evaluations]
    used += [text(run.section(stage).get("model")) for stage in run.of_kind("tune")]
    found = ((name, published_card(name)) for name in dict.fromkeys(used) if run.stage(name) is None)
    return [_published(name, card) for name, card in found if card is not None]


def _published(name: str, card: ModelCard) -> Card:
    facts = {
        "parameters": count(card.parameters),
        "training_tokens": short_count(card.training_tokens),
        "released": card.released,
        "licence": card.licence,
        "languages": ", ".join(card.languages),
        "repository": card.repository,
        "citation": card.citation,
    }
    shown = tuple((words_or(f"card_{key}", key.replace("_", " ")), Text(value, value)) for key, value in facts.items())
    return Card(title=card.title, key=f"published.{name}", facts=shown, groups=(), sources=(), source="")


def _card(stage: Stage) -> Card:
    facts = []
    for key, value in stage.card.items():
        shown = None if key in HIDDEN else _fact(key, value)
        if shown is not None:
            facts.append((words_or(f"card_{key}", key.replace("_", " ")), shown))
    settings = {key: value for key, value in mapping(stage.card.get("config")).items() if key != "family"}
    configuration = _plain(settings)
    if configuration:
        facts.append((words_or("card_config", "config"), Text(configuration, configuration)))
    return Card(
        title=stage.label,
        key=stage.key,
        facts=tuple(facts),
        groups=tuple(_groups(stage.card)),
        sources=tuple(_sources(stage.card)),
        source=f"{stage.key}/card.json",
    )


def _fact(key: str, value: Any) -> Text | None:
    amount = number(value)
    if amount is not None and "seconds" in key:
        return duration(amount)
    if isinstance(value, Mapping):
        shown = _plain(value, _format(key))
    elif isinstance(value, list):
        shown = _listed(value)
    else:
        shown = _format(key)(value)
    return Text(shown, shown) if shown else None


def _listed(value: list[Any]) -> str:
    """Reasons with their counts, or plain values."""
    rows = records(value)
    if rows:
        return ", ".join(_reason(row) for row in rows)[: 2 * LONGEST]
    return ", ".join(text(item) for item in value if not isinstance(item, list | Mapping))[:LONGEST]


def _reason(row: Mapping[str, Any]) -> str:
    named = " ".join(text(row[key]) for key in ("reason", "extension") if row.get(key))
    return f"{named} {count(number(row.get('count')))}".strip()


def _plain(value: Mapping[str, Any], form: Callable[[Any], str] = text) -> str:
    pairs = [f"{key} {form(item)}" for key, item in value.items() if not isinstance(item, list | Mapping)]
    return " · ".join(pairs)


def _format(key: str) -> Callable[[Any], str]:
    def form(value: Any) -> str:
        amount = number(value)
        if amount is None:
            return text(value)[:LONGEST]
        if key in SIZES:
            return size(amount)
        return count(amount) if amount == int(amount) else fixed(amount, 3)

    return form


def _groups(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, group in mapping(card.get("groups")).items():
        facts = mapping(group)
        numbers = (count(number(facts.get("documents"))), size(number(facts.get("bytes"))))
        rows.append((str(name), *numbers, text(facts.get("held_out_rule"))))
    return rows


def _sources(card: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            text(row.get("source")),
            text(row.get("licence")),
            count(number(row.get("files"))),
            size(number(row.get("bytes"))),
        )
        for row in records(card.get("sources"))
    ]
