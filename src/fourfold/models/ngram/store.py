"""The n-gram model on disk: config.json and ngram.safetensors, which is mapped, not read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from fourfold.errors import UserError
from fourfold.files import read_json, write_arrays, write_json
from fourfold.kernels import Trie
from fourfold.models.ngram.model import NGramConfig, NGramLM

MODEL_TYPE = "fourfold-ngram"
WEIGHTS = "model.safetensors"
BOOKS = {"log_prob_book", "back_off_book"}
"""Of a model whose numbers are entries in them."""
ADVICE = "Train or copy it again."


def save_ngram(model: NGramLM, folder: Path) -> None:
    """Write the model into `folder`, beside what is there (a tokenizer, say); load_ngram gives it back exactly."""
    written = {name: array for name, array in model.trie._asdict().items() if len(array) or name not in BOOKS}
    write_arrays(folder / WEIGHTS, written)
    write_json(folder / "config.json", {"model_type": MODEL_TYPE, **dataclasses.asdict(model.config)})


def load_ngram(folder: Path) -> NGramLM:
    """Map a saved model into memory."""
    config = _config(read_json(folder / "config.json"), folder / "config.json")
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError("the n-gram model has no weights", where=folder, expected=f"a file {WEIGHTS}", advice=ADVICE)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise UserError("damaged or cut safetensors file", where=path, got=str(error), advice=ADVICE) from None
    if set(tensors) not in (set(Trie._fields), set(Trie._fields) - BOOKS):
        raise UserError("not the arrays of an n-gram model", where=path, got=", ".join(sorted(tensors)) or "none")
    trie = Trie(**{name: tensor.numpy() for name, tensor in tensors.items()})
    _check(config, trie, path)
    return NGramLM(config, trie)


def _config(record: Any, where: Path) -> NGramConfig:
    if not isinstance(record, dict) or record.get("model_type") != MODEL_TYPE:
        raise UserError("not an n-gram model", where=where, expected=f'"model_type": "{MODEL_TYPE}"')
    fields = {field.name for field in dataclasses.fields(NGramConfig)}
    given = {name: value for name, value in record.items() if name in fields}
    missing = {"order", "vocabulary_size", "smoothing", "ngrams"} - set(given)
    if missing:
        raise UserError(f"the n-gram configuration lacks {', '.join(sorted(missing))}", where=where)
    given["ngrams"] = tuple(given["ngrams"])
    for name in ("discounts", "weights"):
        given[name] = tuple(tuple(row) for row in given.get(name, ()))
    return NGramConfig(**given)


def _check(config: NGramConfig, trie: Trie, where: Path) -> None:
    nodes, contexts = 1 + sum(config.ngrams), 1 + sum(config.ngrams[:-1])
    sizes = {"word": nodes, "suffix": nodes, "log_prob": nodes, "first_child": contexts + 1, "back_off": contexts}
    if len(config.ngrams) != config.order or config.ngrams[0] != config.vocabulary_size:
        raise UserError("the number of n-grams does not fit config.json", where=where, got=list(config.ngrams))
    for name, expected in sizes.items():
        got = len(getattr(trie, name))
        if got != expected:
            raise UserError(
                f"array {name} does not fit config.json", where=where, expected=expected, got=got, advice=ADVICE
            )
    for codes, book in ((trie.log_prob, trie.log_prob_book), (trie.back_off, trie.back_off_book)):
        packed = codes.dtype in (np.uint8, np.uint16)
        if packed != bool(len(book)) or (packed and int(codes.max()) >= len(book)):
            raise UserError("the numbers of the n-gram model do not fit their books", where=where, advice=ADVICE)
