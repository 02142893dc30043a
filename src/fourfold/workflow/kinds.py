"""What a stage is: options checked at the file boundary, the things it uses, and its work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.workflow.context import StageContext

FILE_SUFFIXES = frozenset({".jsonl", ".json", ".txt", ".md", ".html", ".gguf", ".arpa", ".toml", ".parquet", ".zst"})
STAGE_FORM = re.compile(r"^([a-z]+)\.([A-Za-z0-9_-]+)$")


class Options(BaseModel):
    """Options of a stage or of a part of one: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class Use(NamedTuple):
    """Something a stage reads: another stage, or, where `outside` allows it, a file, package or model."""

    key: str
    """The option that names it."""
    value: str
    kinds: tuple[str, ...]
    """Kinds of stage it may be."""
    outside: bool = False
    """True when it may also be something that no stage of this recipe makes."""


@dataclass(frozen=True, kw_only=True)
class StageKind:
    """One kind of stage, such as `tokenizer`."""

    name: str
    options: type[Options]
    uses: Callable[[Any], list[Use]]
    """What the options refer to; the stage's place in the order follows from it."""
    run: Callable[[StageContext, Any], None]
    """Do the work inside `context.folder`; called again after an interruption with the folder as it was left."""
    code: tuple[str, ...]
    """The fourfold packages whose source belongs to the stage's key: a change there redoes the stage."""
    check: Callable[[Any], None] = lambda options: None
    """Refuse, before anything runs, options that are well formed but cannot work."""


def reference_kind(value: str, known: frozenset[str], sections: frozenset[str]) -> str | None:
    """The kind of stage a string refers to, or None when it names something outside the recipe.

    Told apart by form, never by looking at the disk: a section of this recipe, else
    anything with the form `kind.name` unless it ends like a file.
    """
    form = STAGE_FORM.match(value)
    if not form or form[1] not in known:
        return None
    if value not in sections and Path(value).suffix in FILE_SUFFIXES:
        return None
    return form[1]


def need(value: object, key: str, where: str) -> None:
    """Raise the error for an option that must be given here."""
    if value is None:
        raise UserError(f"'{key}' is missing", where=where)
