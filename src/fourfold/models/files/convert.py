"""From one file format to another: Hugging Face folders, GGUF, ARPA.

Transformers are written tensor by tensor: folders are memory-mapped, GGUF files unpacked one tensor at a time, so
that memory for a few tensors will do, whatever the size of the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fourfold.errors import UserError, unknown_name
from fourfold.files import atomic_folder, write_json
from fourfold.models.files.folder import load_model, own_tensors, save_model
from fourfold.models.files.gguf_model import open_gguf, save_weights_as_gguf
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.files.streaming import check_names, stream_folder
from fourfold.models.interop import Pooling, encoder_folder, read_pooling, write_pooling
from fourfold.models.ngram import NGramLM, WordTokenizer, read_arpa, write_arpa
from fourfold.models.transformer import TransformerConfig, TransformerLM
from fourfold.tokenizers import Tokenizer, from_gguf

FORMATS = ("hf", "gguf", "arpa")
FOLDER_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a conversion carries over: a module, or the configuration and weights of a transformer."""

    tokenizer: Tokenizer | WordTokenizer
    module: nn.Module | None = None
    config: TransformerConfig | None = None
    weights: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    """Asked for one by one."""
    pooling: Pooling | None = None
    """How a sentence encoder makes its vectors."""
    dtype: torch.dtype | None = None
    """What a folder of these weights holds unless told otherwise; None: each weight its own."""


def convert(source: Path | str, destination: Path | str, to: str | None = None, type: str | None = None) -> Path:
    """Write the model in `source` to `destination`; returns where.

    Without `to` the format follows from the ending of `destination`: .gguf, .arpa, else a folder.
    `type` is the precision of the weights: by default f16 in GGUF and the source's own in a folder (f32 for what is
    packed, which keeps every bit).
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
    if to == "hf" and destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UserError("there is something already", where=destination, advice="Choose a new folder.")
    model = open_source(source)
    _check_vocabulary(model, source)
    if to == "arpa":
        _write_arpa(model, destination)
    elif to == "gguf":
        _write_gguf(model, destination, type or "f16", source)
    else:
        _write_folder(model, destination, type)
    return destination


def open_source(source: Path) -> Source:
    """The model and tokenizer in a folder, a .gguf or an .arpa file; weights stay on disk where they can."""
    if source.is_dir():
        pooling, source = read_pooling(source), encoder_folder(source)
        module = load_model(source)
        if (source / WordTokenizer.file_name).is_file():
            return Source(module=module, tokenizer=WordTokenizer.load(source))
        tokenizer = Tokenizer.load(source)
        if not isinstance(module, TransformerLM):
            return Source(module=module, tokenizer=tokenizer)
        weights = own_tensors(module)
        return Source(module=module, tokenizer=tokenizer, config=module.config, weights=weights, pooling=pooling)
    if source.suffix == ".gguf":
        model = open_gguf(source)
        check_names(model.weights.shapes, model.config, source, model.weights.name_in_file)
        tokenizer = from_gguf(model.metadata)
        return Source(tokenizer=tokenizer, config=model.config, weights=model.weights, dtype=model.weights.stored_dtype)
    if _format_of(source) == "arpa":
        arpa, words = read_arpa(source)
        return Source(module=arpa, tokenizer=words)
    raise UserError("not a model: a folder, a .gguf or an .arpa file is one", where=source)


def _check_vocabulary(model: Source, source: Path) -> None:
    if model.config is not None and model.tokenizer.vocabulary_size > model.config.vocabulary_size:
        raise UserError(
            "the tokenizer has more tokens than the model", where=source,
            expected=f"at most {model.config.vocabulary_size}", got=model.tokenizer.vocabulary_size,
            advice="One of the two belongs to another model.",
        )  # fmt: skip


def _format_of(path: Path) -> str:
    if path.name.endswith((".arpa", ".arpa.gz")):
        return "arpa"
    return "gguf" if path.suffix == ".gguf" else "hf"


def _write_gguf(model: Source, path: Path, type: str, source: Path) -> None:
    if not isinstance(model.tokenizer, Tokenizer):
        raise UserError("a word n-gram model has no GGUF form", where=source, advice="Convert it to arpa.")
    if model.config is None:
        raise UserError("GGUF has no architecture for this model", where=source, advice="Save it as a folder instead.")
    save_weights_as_gguf(model.config, model.weights, model.tokenizer, path, type, name=source.stem)


def _write_folder(model: Source, folder: Path, type: str | None) -> None:
    ids = {"bos_token_id": model.tokenizer.bos_id, "eos_token_id": model.tokenizer.eos_id}
    ids["pad_token_id"] = model.tokenizer.pad_id
    given = {name: id for name, id in ids.items() if id is not None}
    with atomic_folder(folder) as part:
        if model.config is not None:
            dtype = model.dtype if type is None else FOLDER_TYPES[type]
            stream_folder(model.config, model.weights, part, dtype, given)
        else:
            assert model.module is not None
            save_model(model.module if type is None else model.module.to(FOLDER_TYPES[type]), part, given)
        if model.config is not None and model.pooling is not None:
            write_pooling(part, model.pooling, model.config.hidden_size)
        model.tokenizer.save(part)
        write_json(part / "generation_config.json", given)


def _write_arpa(model: Source, path: Path) -> None:
    if not isinstance(model.module, NGramLM):
        raise UserError("only n-gram models have an ARPA form", advice="Convert to hf or gguf.")
    write_arpa(model.module, path, _names(model.tokenizer))


def _names(tokenizer: Tokenizer | WordTokenizer) -> Sequence[str]:
    """One name without white space a token."""
    if isinstance(tokenizer, WordTokenizer):
        return tokenizer.words
    core = tokenizer.core_copy()
    return [core.id_to_token(id) or f"<unused{id}>" for id in range(tokenizer.vocabulary_size)]
