"""From one file format to another: Hugging Face folders, GGUF, ARPA."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_folder, write_json
from fourfold.models.files.folder import load_model, save_model
from fourfold.models.files.gguf_model import load_gguf, save_gguf
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.ngram import NGramLM, WordTokenizer, read_arpa, write_arpa
from fourfold.tokenizers import Tokenizer, from_gguf

FORMATS = ("hf", "gguf", "arpa")
FOLDER_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Model:
    """What a conversion carries over."""

    module: nn.Module
    tokenizer: Tokenizer | WordTokenizer


def convert(source: Path | str, destination: Path | str, to: str | None = None, type: str | None = None) -> Path:
    """Write the model in `source` to `destination`; returns where.

    Without `to` the format follows from the ending of `destination`: .gguf, .arpa, else a folder.
    `type` is the precision of the weights: by default f16 in GGUF and the source's own in a folder.
    """
    source, destination = Path(source), Path(destination)
    to = to or _format_of(destination)
    if to not in FORMATS:
        raise unknown_name("model format", to, FORMATS)
    if destination.exists() and source.resolve() == destination.resolve():
        raise UserError("source and destination are the same", where=source)
    allowed = {"gguf": list(SAVED), "hf": list(FOLDER_TYPES)}.get(to, [])
    if type is not None and type not in allowed:
        raise unknown_name(f"weight type of a {to} file", type, allowed)
    model = read(source)
    if to == "arpa":
        _write_arpa(model, destination)
    elif to == "gguf":
        if not isinstance(model.tokenizer, Tokenizer):
            raise UserError("a word n-gram model has no GGUF form", where=source, advice="Convert it to arpa.")
        save_gguf(model.module, model.tokenizer, destination, type or "f16", name=source.stem)
    else:
        _write_folder(model, destination, type)
    return destination


def read(source: Path) -> Model:
    """The model and tokenizer in a folder, a .gguf or an .arpa file."""
    if source.is_dir():
        module = load_model(source)
        words = (source / WordTokenizer.file_name).is_file()
        return Model(module, WordTokenizer.load(source) if words else Tokenizer.load(source))
    if source.suffix == ".gguf":
        module, metadata = load_gguf(source)
        return Model(module, from_gguf(metadata))
    if _format_of(source) == "arpa":
        return Model(*read_arpa(source))
    raise UserError("not a model: a folder, a .gguf or an .arpa file is one", where=source)


def _format_of(path: Path) -> str:
    if path.name.endswith((".arpa", ".arpa.gz")):
        return "arpa"
    return "gguf" if path.suffix == ".gguf" else "hf"


def _write_folder(model: Model, folder: Path, type: str | None) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("there is something already", where=folder, advice="Choose a new folder.")
    module = model.module if type is None else model.module.to(FOLDER_TYPES[type])
    ids = {"bos_token_id": model.tokenizer.bos_id, "eos_token_id": model.tokenizer.eos_id}
    ids["pad_token_id"] = model.tokenizer.pad_id
    given = {name: id for name, id in ids.items() if id is not None}
    with atomic_folder(folder) as part:
        save_model(module, part, given)
        model.tokenizer.save(part)
        write_json(part / "generation_config.json", given)


def _write_arpa(model: Model, path: Path) -> None:
    if not isinstance(model.module, NGramLM):
        raise UserError("only n-gram models have an ARPA form", advice="Convert to hf or gguf.")
    write_arpa(model.module, path, _names(model.tokenizer))


def _names(tokenizer: Tokenizer | WordTokenizer) -> Sequence[str]:
    """One name without white space a token."""
    if isinstance(tokenizer, WordTokenizer):
        return tokenizer.words
    core = tokenizer.core_copy()
    return [core.id_to_token(id) or f"<unused{id}>" for id in range(tokenizer.vocabulary_size)]
