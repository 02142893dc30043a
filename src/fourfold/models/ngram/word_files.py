"""The words of a model on disk: a list, which is the truth, and beside it the table they are found in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from fourfold.errors import UserError
from fourfold.files import write_arrays
from fourfold.kernels import WordIndex, WordTable

LIST = "words.txt"
TABLE = "words.safetensors"
TRIED = 64
"""Words looked up to see whether a table belongs to a list."""


def save_table(index: WordIndex, folder: Path) -> None:
    table = index.compact()
    write_arrays(folder / TABLE, {"slots": table.slots.view(np.int64), "starts": table.starts})


def load_words(folder: Path, *, characters: bool) -> WordIndex:
    """The words of `words.txt`: mapped, where the table beside it fits, else read and hashed."""
    if not (folder / LIST).is_file():
        raise UserError("the list of words is missing", where=folder / LIST)
    index = _mapped(folder, characters)
    if index is not None:
        return index
    try:
        return WordIndex.of_lines((folder / LIST).read_bytes(), characters=characters)
    except ValueError as error:
        raise UserError("the list of words is damaged", where=folder / LIST, got=error) from None


def _mapped(folder: Path, characters: bool) -> WordIndex | None:
    """None where there is no table, or it is not that of the list."""
    try:
        arrays = {name: tensor.numpy() for name, tensor in load_file(folder / TABLE).items()}
        pool = np.memmap(folder / LIST, np.uint8, mode="c")  # as other pools are: writable, and not the file
        table = WordTable(arrays["slots"].view(np.uint64), arrays["starts"], pool.view(np.ndarray))
        index = WordIndex.of_table(table, characters=characters)
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
    tried = np.unique(np.linspace(0, index.known - 1, TRIED).astype(int)).tolist()
    return index if all(index.number(index.word(number)) == number for number in tried) else None
