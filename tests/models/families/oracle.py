"""The oracle of the families: tiny random models of `transformers`, compared with ours through files on disk.

A `Case` is a value: the family, what is special about this shape, and the arguments of `transformers`'
configuration. `oracle_decoders.py` and `oracle_encoders.py` hold the tables, `test_oracles.py` runs them,
`make_docs.py` writes them down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from fourfold.files import read_json, write_json
from fourfold.models.files import load_model

TOLERANCE = 1e-4
"""Of the largest difference, relative to the largest value."""

VOCABULARY = 99
PADDING = 0
SPECIAL = 3
"""Ids below are left out of random text: `transformers` gives padding no gradient."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape of one family."""

    family: str
    """Our name of it, `model_type` in its files."""
    label: str
    """What this shape shows, as the docs say it."""
    config: str
    """Name of `transformers`' configuration class."""
    keys: Mapping[str, Any]
    """Arguments of that class."""
    auto: str = "AutoModelForCausalLM"
    """The `transformers` class that reads and writes the folder: it decides the head."""
    cached: bool = True
    """Decoding with a cache says the same as reading at once: not where the angles change with the length."""
    old: Mapping[str, Any] = field(default_factory=dict)
    """How older files say the same: keys of `config.json` to set, or to leave out where the value is None."""

    def __str__(self) -> str:
        return f"{self.family}: {self.label}"


def make_oracle(case: Case) -> Any:
    """A random model of `transformers` whose every weight matters: no zero biases, no norms of ones."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = getattr(transformers, case.auto).from_config(getattr(transformers, case.config)(**case.keys))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(0.25 * noise)
            else:
                parameter.add_(0.2 * noise)
    return model.eval()


def write_oracle(case: Case, folder: Path) -> Any:
    """Save the random model of the case with `transformers` and return it."""
    model = make_oracle(case)
    model.save_pretrained(folder)
    return model


class Pair(NamedTuple):
    """A model of `transformers`, the folder it wrote, and ours read from there."""

    case: Case
    folder: Path
    theirs: Any
    ours: Any


def make_pair(case: Case, folder: Path) -> Pair:
    """Their random model of the case, saved in `folder`, and ours."""
    theirs = write_oracle(case, folder)
    return Pair(case, folder, theirs, load_model(folder))


def read_back(case: Case, folder: Path) -> Any:
    """What `transformers` makes of a folder."""
    transformers = pytest.importorskip("transformers")
    model, report = getattr(transformers, case.auto).from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), f"transformers misses or does not want weights: {report}"
    return model.eval()


def age(keys: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `config.json` as older versions wrote them."""
    return {key: value for key, value in (keys | dict(old)).items() if value is not None}


def age_folder(folder: Path, old: Mapping[str, Any]) -> None:
    write_json(folder / "config.json", age(read_json(folder / "config.json"), old))


def random_ids(rows: int, length: int, seed: int = 5) -> Tensor:
    """(rows, length) ids."""
    return torch.randint(SPECIAL, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference relative to the largest value; infinite for other shapes.

    A bias of keys moves all scores of a query alike: its gradient is 0, and what is left is rounding of 1e-8 or so.
    """
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-3))
