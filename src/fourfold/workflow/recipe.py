"""A recipe: a TOML file whose sections are stages and whose references give their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fourfold.errors import UserError, nearest, unknown_name
from fourfold.files import read_text
from fourfold.workflow.kinds import Options, StageKind, Use, reference_kind
from fourfold.workflow.stages import KINDS
from fourfold.workflow.toml import BARE_KEY, apply_overrides, read_document, section_order, write_document

TOP_LEVEL = ("name", "seed", "title", "language")
LANGUAGES = ("en", "zh")
"""Languages a report can open in."""


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One section of a recipe, checked."""

    kind: str
    name: str
    options: Options
    needs: tuple[str, ...]
    """The stages that must be done before, as `kind.name`."""
    outside: tuple[str, ...]
    """Files, packages and models it reads that no stage makes."""

    @property
    def full_name(self) -> str:
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A checked recipe, its stages in the order in which they run."""

    name: str
    seed: int
    title: str
    language: str
    """The report's first language, en or zh."""
    stages: tuple[StageSpec, ...]
    text: str
    """The recipe as run: the file itself, or, with overrides, the document they give."""
    source: Path | None = None

    def stage(self, full_name: str) -> StageSpec:
        for stage in self.stages:
            if stage.full_name == full_name:
                return stage
        raise unknown_name("stage", full_name, [stage.full_name for stage in self.stages])

    def required_for(self, full_name: str) -> list[StageSpec]:
        """That stage and all it needs, in running order."""
        wanted = {self.stage(full_name).full_name}
        for stage in reversed(self.stages):
            if stage.full_name in wanted:
                wanted.update(stage.needs)
        return [stage for stage in self.stages if stage.full_name in wanted]


def parse_recipe(path_or_text: Path | str, overrides: Iterable[str] = ()) -> Recipe:
    """Read and check a recipe; everything wrong with it is one sentence that names file, section and key.

    A string with a line break or an equals sign is the recipe itself, any other a path.
    """
    overrides = list(overrides)
    is_text = isinstance(path_or_text, str) and ("\n" in path_or_text or "=" in path_or_text)
    source = None if is_text else Path(path_or_text)
    where = str(source) if source else "recipe"
    text = read_text(source) if source else str(path_or_text)
    document = read_document(text, where)
    apply_overrides(document, overrides)
    top = _top_level(document, source, where)
    sections = _sections(document, where)
    order = [section for section in section_order(text) if section in sections]
    order += [section for section in sections if section not in order]
    stages = [_stage(section, sections[section], frozenset(sections), where) for section in order]
    if not stages:
        raise UserError(
            "the recipe has no stages", where=where, expected=f"sections such as [{next(iter(KINDS))}.name]"
        )
    if overrides:
        comment = "".join(f"# --set {override}\n" for override in overrides)
        text = comment + write_document(document, order)
    return Recipe(**top, stages=_in_order(stages, where), text=text, source=source)


def _top_level(document: Mapping[str, Any], source: Path | None, where: str) -> dict[str, Any]:
    for key, value in document.items():
        if key in TOP_LEVEL or key in KINDS:
            continue
        if isinstance(value, dict):
            raise unknown_name("section", f"{key}", KINDS, where=where)
        raise unknown_name("key", key, TOP_LEVEL, where=where)
    name = document.get("name", source.stem if source else None)
    if not isinstance(name, str) or not BARE_KEY.match(name):
        raise UserError(
            "'name' is missing or no folder name", where=where, expected="letters, digits, - and _", got=name
        )
    seed, title = document.get("seed", 0), document.get("title", name)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise UserError("'seed' is out of range", where=where, expected="a whole number from 0 to 2147483647", got=seed)
    if not isinstance(title, str):
        raise UserError("'title' is not a text", where=where, got=title)
    language = document.get("language", "en")
    if language not in LANGUAGES:
        raise unknown_name("language", str(language), LANGUAGES, where=where)
    return {"name": name, "seed": seed, "title": title, "language": language}


def _sections(document: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    found = {}
    for kind in (key for key in document if key in KINDS):
        tables = document[kind]
        for name, table in tables.items() if isinstance(tables, dict) else [("", None)]:
            if not isinstance(table, dict) or not BARE_KEY.match(name):
                raise UserError(
                    f"a section is written [{kind}.name]", where=where, got=f"[{kind}] with the key '{name}'"
                )
            found[f"{kind}.{name}"] = table
    return found


def _stage(section: str, table: dict[str, Any], sections: frozenset[str], where: str) -> StageSpec:
    kind = KINDS[section.partition(".")[0]]
    place = f"{where} [{section}]"
    try:
        options = kind.options.model_validate(table)
    except ValidationError as error:
        raise _option_error(error.errors()[0], kind, place) from None
    try:
        kind.check(options)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    needs, outside = [], []
    for use in kind.uses(options):
        if _is_stage(use, section, sections, place):
            needs.append(use.value)
        else:
            outside.append(use.value)
    return StageSpec(
        kind=kind.name,
        name=section.partition(".")[2],
        options=options,
        needs=tuple(dict.fromkeys(needs)),
        outside=tuple(dict.fromkeys(outside)),
    )


def _is_stage(use: Use, section: str, sections: frozenset[str], place: str) -> bool:
    found = reference_kind(use.value, frozenset(KINDS), sections)
    if found is None:
        if use.outside:
            return False
        expected = " or ".join(f"[{kind}.…]" for kind in use.kinds)
        guess = nearest(use.value, [s for s in sections if s.partition(".")[0] in use.kinds])
        advice = f"Did you mean '{guess}'?" if guess else None
        raise UserError(f"'{use.key}' must name a section {expected}", where=place, got=use.value, advice=advice)
    if use.value == section:
        raise UserError(f"'{use.key}' names its own section", where=place)
    if use.value not in sections:
        raise unknown_name(
            "section", use.value, [s for s in sections if s.partition(".")[0] in use.kinds], where=f"{place} {use.key}"
        )
    if found not in use.kinds:
        expected = " or ".join(f"[{kind}.…]" for kind in use.kinds)
        raise UserError(f"'{use.key}' may not be a section of this kind", where=place, expected=expected, got=use.value)
    return True


def _option_error(error: ErrorDetails, kind: StageKind, place: str) -> UserError:
    """One sentence for the first thing pydantic refused."""
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return unknown_name("key", path[-1], _keys_at(kind.options, path[:-1]), where=place)
    if error["type"] == "missing":
        return UserError(f"'{key}' is missing", where=place)
    reason = error["msg"].removeprefix("Value error, ")
    choices = re.findall("'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else []
    guess = nearest(str(error["input"]), choices)
    advice = f"Did you mean '{guess}'?" if guess else None
    return UserError(f"'{key}': {reason[:1].lower()}{reason[1:]}", where=place, got=repr(error["input"]), advice=advice)


def _keys_at(options: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = options.model_fields.get(part)
        if field is None:
            continue
        candidates = [field.annotation, *get_args(field.annotation)]
        options = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), options)
    return list(options.model_fields)


def _in_order(stages: list[StageSpec], where: str) -> tuple[StageSpec, ...]:
    """Stages so that each follows what it needs, otherwise in file order."""
    done: list[StageSpec] = []
    waiting = list(stages)
    while waiting:
        placed = {stage.full_name for stage in done}
        ready = next((stage for stage in waiting if placed.issuperset(stage.needs)), None)
        if ready is None:
            circle = " → ".join(_circle(waiting))
            raise UserError(f"these sections need each other in a circle: {circle}", where=where)
        waiting.remove(ready)
        done.append(ready)
    return tuple(done)


def _circle(waiting: list[StageSpec]) -> list[str]:
    by_name = {stage.full_name: stage for stage in waiting}
    path = [waiting[0].full_name]
    while path[-1] not in path[:-1]:
        path.append(next(need for need in by_name[path[-1]].needs if need in by_name))
    return path[path.index(path[-1]) :]
