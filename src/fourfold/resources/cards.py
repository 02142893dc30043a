"""Records of models and data, read from the TOML files beside this one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fourfold.errors import unknown_name


class Record(BaseModel):
    """A record whose every field is known; a misspelt one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PackagedFile(Record):
    """A file inside a package of the Python index, with its size and hash."""

    package: str
    version: str
    module: str
    name: str
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ModelCard(Record):
    """A published model. `sources` says where each figure is from."""

    title: str
    parameters: int = Field(gt=0)
    training_tokens: int = Field(gt=0)
    released: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    licence: str
    languages: tuple[str, ...]
    repository: str
    citation: str
    sampling: Mapping[str, float]
    sources: Mapping[str, str]
    file: PackagedFile


class DataCard(Record):
    """A data source. `sources` says where each statement is from."""

    title: str
    package: str | None = None
    licence: str
    languages: tuple[str, ...]
    homepage: str
    note: str
    sources: Mapping[str, str]


def model_card(name: str) -> ModelCard:
    """The card of a model we name, "smollm2"."""
    cards = read_records("models.toml")
    if name not in cards:
        raise unknown_name("model card", name, cards)
    return ModelCard(**cards[name])


def data_card(name: str) -> DataCard:
    """The card of a data source we name, "sotu" or "stdlib"."""
    cards = read_records("data.toml")
    if name not in cards:
        raise unknown_name("data card", name, cards)
    return DataCard(**cards[name])


@lru_cache
def read_records(file: str) -> dict[str, Any]:
    """The tables of one of the packaged TOML files."""
    return tomllib.loads((files("fourfold.resources") / file).read_text("utf-8"))
