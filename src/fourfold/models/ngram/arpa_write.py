"""Write a model as an ARPA file, which KenLM, SRILM and the speech toolkits read."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import atomic_file
from fourfold.kernels import unpacked
from fourfold.models.ngram.estimate import NEVER
from fourfold.models.ngram.model import NGramLM
from fourfold.models.ngram.word_tokenizer import END, START, UNKNOWN
from fourfold.progress import track

if TYPE_CHECKING:
    import polars

ROWS_AT_ONCE = 1 << 20


class _Names(NamedTuple):
    first: polars.Series
    """The name of each token as the first of an n-gram."""
    later: polars.Series


def write_arpa(model: NGramLM, path: Path, token_strings: Sequence[str]) -> None:
    """Write `path` (gzip if it ends in .gz) with log10 numbers; `token_strings[i]` is the name of token i.

    The document start is written as <s> and the end as </s>, also where one id is both. As KenLM writes it, <s>
    has probability 1, a convention that no reader scores.
    """
    names = _names(model, token_strings)
    with atomic_file(path) as stream:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
                _write(model, names, packed)
        else:
            _write(model, names, stream)


def _names(model: NGramLM, token_strings: Sequence[str]) -> _Names:
    import polars  # 23 MB, which nobody else needs

    if len(token_strings) != model.vocabulary_size:
        raise UserError("not one string a token", expected=model.vocabulary_size, got=len(token_strings))
    config = model.config
    wrong = next((name for name in token_strings if not name or set(name) & set(" \t\n\v\f\r\0")), None)
    if wrong is not None:
        raise UserError("an ARPA file cannot hold a token that is empty or has white space in it", got=repr(wrong))
    first, later = list(token_strings), list(token_strings)
    if config.eos_id is not None:
        first[config.eos_id] = later[config.eos_id] = END
    if config.bos_id is not None:
        first[config.bos_id] = START
        if config.bos_id != config.eos_id:
            later[config.bos_id] = START
    if len(set(later)) != len(later):
        raise UserError("two tokens have the same string", advice="An ARPA file needs them to differ.")
    return _Names(polars.Series(first, dtype=polars.String), polars.Series(later, dtype=polars.String))


def _write(model: NGramLM, names: _Names, stream: IO[bytes] | gzip.GzipFile) -> None:
    unigrams = _unigrams(model, names)
    sizes = [len(unigrams), *model.config.ngrams[1:]]
    stream.write("".join(["\\data\\\n", *(f"ngram {n}={size}\n" for n, size in enumerate(sizes, 1))]).encode())
    for order, frames in enumerate(track([iter([unigrams]), *_longer(model, names)], "write ARPA", unit="orders"), 1):
        stream.write(f"\n\\{order}-grams:\n".encode())
        for frame in frames:
            if order == model.order:
                frame = frame.drop("back_off")
            stream.write(frame.write_csv(include_header=False, separator="\t", quote_style="never").encode())
    stream.write(b"\n\\end\\\n")


def _unigrams(model: NGramLM, names: _Names) -> polars.DataFrame:
    """All tokens, and what a reader expects besides: <unk>, <s>, </s>."""
    import polars

    size, config, trie = model.vocabulary_size, model.config, unpacked(model.trie)
    log_prob = _log10(trie.log_prob[1 : size + 1])
    back_off = _log10(trie.back_off[1 : size + 1]) if model.order > 1 else np.zeros(size, np.float32)
    if config.bos_id is not None and config.bos_id != config.eos_id:
        log_prob[config.bos_id] = 0
    rows = polars.DataFrame({"log_prob": log_prob, "gram": names.later, "back_off": back_off})
    extra = {name: (NEVER / math.log(10), 0.0) for name in (UNKNOWN, END)} | {START: (0.0, 0.0)}
    if config.bos_id is not None and config.bos_id == config.eos_id:
        extra[START] = (0.0, float(back_off[config.bos_id]))
        rows[config.bos_id, "back_off"] = 0.0
    known = set(names.later)
    added = [(p, name, b) for name, (p, b) in extra.items() if name not in known]
    return polars.concat([rows, polars.DataFrame(added, schema=rows.schema, orient="row")]) if added else rows


def _longer(model: NGramLM, names: _Names) -> Iterator[Iterator[polars.DataFrame]]:
    trie, bases = unpacked(model.trie), np.cumsum([1, *model.config.ngrams])
    followers = np.diff(trie.first_child)
    grams = np.arange(model.vocabulary_size, dtype=np.int32)[:, None]
    for order in range(2, model.order + 1):
        nodes = slice(bases[order - 1], bases[order])
        lower = slice(bases[order - 2], bases[order - 1])
        prefixes = np.repeat(np.arange(len(grams)), followers[lower])
        grams = np.concatenate([grams[prefixes], trie.word[nodes, None]], axis=1)
        back_off = _log10(trie.back_off[nodes]) if order < model.order else np.zeros(len(grams), np.float32)
        yield _frames(grams, names, _log10(trie.log_prob[nodes]), back_off)


def _frames(
    grams: NDArray[np.int32], names: _Names, log_prob: NDArray[np.float32], back_off: NDArray[np.float32]
) -> Iterator[polars.DataFrame]:
    import polars

    for begin in range(0, len(grams), ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        columns = [
            (names.later if position else names.first).gather(grams[part, position]).alias(str(position))
            for position in range(grams.shape[1])
        ]
        text = polars.DataFrame(columns).select(polars.concat_str(polars.all(), separator=" ")).to_series()
        yield polars.DataFrame({"log_prob": log_prob[part], "gram": text, "back_off": back_off[part]})


def _log10(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.maximum(values, NEVER) / math.log(10)).astype(np.float32)
