"""Sentence encoders (Reimers & Gurevych 2019): one vector a text, in the folders of `sentence-transformers`.

modules.json                 which steps follow each other, each with its folder
1_Pooling/config.json        from the vectors of tokens to one vector
2_Normalize/                 to length one
sentence_bert_config.json    how long a text may be
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import read_json, write_json

MODULES, SETTINGS, POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling"
FLAGS: dict[str, Literal["mean", "first", "max"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """From the vectors of a text's tokens to the vector of the text."""

    kind: Literal["mean", "first", "max"] = "mean"
    """Over all tokens, special ones too; `first` is [CLS]."""
    normalise: bool = False
    """To length one, so that a dot product is the cosine."""
    limit: int | None = None
    """Tokens a text is cut to, special ones counted; None: the model's context."""
    lowercase: bool = False
    """Before the tokenizer, whatever it does itself."""


def pool(pooling: Pooling, hidden: Tensor, lengths: Tensor) -> Tensor:
    """(B, D) in fp32 from (B, T, D) hidden states of which row b has `lengths[b]` real tokens."""
    hidden = hidden.float()
    real = (torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None])[..., None]  # (B, T, 1)
    if pooling.kind == "first":
        vectors = hidden[:, 0]
    elif pooling.kind == "max":
        vectors = hidden.masked_fill(~real, -torch.inf).amax(dim=1)
    else:
        vectors = (hidden * real).sum(dim=1) / real.sum(dim=1)
    return torch.nn.functional.normalize(vectors, dim=-1) if pooling.normalise else vectors


def encoder_folder(folder: Path) -> Path:
    """Where the transformer of a sentence encoder is; `folder` itself for other models."""
    if not (folder / MODULES).is_file():
        return folder
    return _inside(folder, 0)


def read_pooling(folder: Path) -> Pooling | None:
    """How the sentence encoder in `folder` makes its vectors, or None for a model that is not one."""
    if not (folder / MODULES).is_file():
        return None
    kinds = [kind for kind, _ in _steps(folder)]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UserError(
            "this sentence encoder has steps that are not supported",
            where=folder / MODULES, expected="Transformer, Pooling and perhaps Normalize", got=", ".join(kinds),
        )  # fmt: skip
    place = _inside(folder, 1) / "config.json"
    path = encoder_folder(folder) / SETTINGS
    settings = _mapping(path) if path.is_file() else {}
    limit, lowercase = settings.get("max_seq_length"), settings.get("do_lower_case") or False
    if not (limit is None or (type(limit) is int and limit > 0)) or not isinstance(lowercase, bool):
        raise UserError("a setting of the sentence encoder is senseless", where=path, got=f"{limit!r}, {lowercase!r}")
    return Pooling(kind=_kind(_mapping(place), place), normalise=len(kinds) == 3, limit=limit, lowercase=lowercase)


def write_pooling(folder: Path, pooling: Pooling, hidden_size: int) -> None:
    """The files that make a model folder a sentence encoder's."""
    steps = [("Transformer", ""), ("Pooling", POOLING), *([("Normalize", "2_Normalize")] if pooling.normalise else [])]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(steps)
    ]
    write_json(folder / MODULES, listed)
    flags = {name: kind == pooling.kind for name, kind in FLAGS.items()}
    write_json(folder / POOLING / "config.json", {"word_embedding_dimension": hidden_size, **flags})
    write_json(folder / SETTINGS, {"max_seq_length": pooling.limit, "do_lower_case": pooling.lowercase})


def _steps(folder: Path) -> list[tuple[str, str]]:
    """Kind and folder of each step, in order; at least one."""
    steps = read_json(folder / MODULES)
    try:
        return [(str(step["type"]).rpartition(".")[2], str(step["path"])) for step in steps] or [("", "")]
    except (TypeError, KeyError) as error:
        raise UserError("not a list of steps with type and path", where=folder / MODULES, got=repr(error)) from None


def _inside(folder: Path, step: int) -> Path:
    """The folder of a step."""
    path = Path(_steps(folder)[step][1])
    if path.is_absolute() or ".." in path.parts:
        raise UserError("a step of the sentence encoder lies outside its folder", where=folder / MODULES, got=path)
    return folder / path


def _mapping(path: Path) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError("not a configuration: names and values", where=path)
    return values


def _kind(flags: Mapping[str, Any], where: Path) -> Literal["mean", "first", "max"]:
    chosen = [name for name, value in flags.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in FLAGS:
        raise UserError(
            "this way of pooling is not supported",
            where=where, expected="one of mean, first token and max", got=", ".join(chosen) or "none",
        )  # fmt: skip
    return FLAGS[chosen[0]]
