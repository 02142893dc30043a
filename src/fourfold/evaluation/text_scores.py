"""`score_texts`: how well models predict texts, in bits per byte, with intervals over blocks of text."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fourfold.errors import UserError
from fourfold.evaluation.cells import FORMAT, Cell, kept_or_made
from fourfold.evaluation.choices import is_able
from fourfold.evaluation.rows import LEVEL, Row, paired_numbers, settle
from fourfold.files import hash_value, write_json
from fourfold.inference import ScoringModel, TextScore, say_if_hard_to_read, say_if_unnormalised
from fourfold.measures import BITS, block_borders, block_nats, ratio_difference, ratio_interval
from fourfold.progress import task as progress_task

BLOCK_BYTES = 2048
TRAIN_PREFIX = "train_"


@runtime_checkable
class ByteTokens(Protocol):
    """A tokenizer that knows the bytes of its tokens."""

    def token_bytes(self, token_id: int, /) -> bytes: ...


@runtime_checkable
class Tokenizing(Protocol):
    """A model whose tokenizer can be asked."""

    @property
    def tokenizer(self) -> object: ...


def score_texts(
    models: Mapping[str, ScoringModel],
    samples: Mapping[str, str],
    folder: Path,
    *,
    labels: Mapping[str, str] | None = None,
    generations: Mapping[str, str] | None = None,
    hashes: Mapping[str, str] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score every text by every model and write `results.json` into `folder`; returns the results.

    A sample named "train_x" is text of group x that was trained on; its row says split
    "train". Finished (model, sample) pairs are kept. Comparisons are on held-out samples, block
    by block, of `pairs` or of every model with every one before it; less is better.
    """
    labels, hashes, generations = labels or {}, hashes or {}, generations or {}
    cells: dict[tuple[str, str], Cell] = {}
    with progress_task("score", sum(len(t.encode()) for t in samples.values()) * len(models), "bytes") as work:
        for model in models:
            for name, text in samples.items():
                size = len(text.encode())
                if size == 0:
                    raise UserError(f"text sample '{name}' is empty", advice="Hold out more text.")
                cells[model, name] = _cell(models, model, hashes.get(model), text, folder)
                work.advance(size, f"{labels.get(model, model)}: {name}")
    heads = {
        model: {"model": model, "label": labels.get(model, model), "generation": generations.get(model)}
        for model in models
    }
    rows = [heads[model] | _row(name, cell, seed) for (model, name), cell in cells.items()]
    chosen = list(pairs) if pairs is not None else list(itertools.combinations(models, 2))
    compared = [
        _comparison(name, pair, cells, seed) for name in samples if not name.startswith(TRAIN_PREFIX) for pair in chosen
    ]
    results = {
        "rows": rows,
        "comparisons": settle(compared),
        "correction": f"Holm over {len(compared)} comparisons",
        "level": LEVEL,
        "block_bytes": BLOCK_BYTES,
        "seed": seed,
        "samples": {name: hash_value(text) for name, text in samples.items()},
    }
    write_json(folder / "results.json", results)
    return results


def token_lengths(model: object, score: TextScore) -> list[int]:
    """Bytes of each scored token; equal lengths where the tokenizer cannot say.

    Only block borders depend on them, to within a token, never the score itself.
    """
    tokenizer = model.tokenizer if isinstance(model, Tokenizing) else None
    if isinstance(tokenizer, ByteTokens):
        return [len(tokenizer.token_bytes(token)) for token in score.ids]
    return [1] * len(score.log_probs)


def _cell(models: Mapping[str, ScoringModel], name: str, model_hash: str | None, text: str, folder: Path) -> Cell:
    key = {
        "format": FORMAT,
        "kind": "score",
        "model": name,
        "model_hash": model_hash,
        "text": hash_value(text),
        "block_bytes": BLOCK_BYTES,
    }
    return kept_or_made(folder, key, lambda: _scored(models[name], name, text))


def _scored(model: object, name: str, text: str) -> Cell:
    if not isinstance(model, ScoringModel) or not is_able(model, "score"):
        raise UserError(
            f"'{name}' gives no log-probabilities of a text, so it has no bits per byte",
            advice="Load the model from its files, or evaluate it on tasks answered by generation.",
        )
    say_if_hard_to_read(model, name, [text])
    say_if_unnormalised(model, name)
    began = time.perf_counter()
    (score,) = model.score([text])
    seconds = time.perf_counter() - began
    nats = block_nats(score.log_probs, token_lengths(model, score), score.bytes, BLOCK_BYTES)
    return {
        "bytes": score.bytes,
        "characters": score.characters,
        "tokens": len(score.log_probs),
        "total": score.total,
        "bits_per_byte": score.bits_per_byte,
        "bits_per_character": score.bits_per_character,
        "stride": score.stride,
        "block_nats": nats.tolist(),
        "seconds": seconds,
    }


def _row(name: str, cell: Cell, seed: int) -> Row:
    interval = ratio_interval(np.asarray(cell["block_nats"]) * BITS, _block_sizes(cell), LEVEL, seed=seed)
    bounded = not np.isnan(interval.low)
    fields = ("bytes", "characters", "tokens", "bits_per_byte", "bits_per_character")
    return (
        {"sample": name.removeprefix(TRAIN_PREFIX), "split": "train" if name.startswith(TRAIN_PREFIX) else "test"}
        | {field: cell[field] for field in fields}
        | {"low": interval.low if bounded else None, "high": interval.high if bounded else None}
        | {"level": LEVEL, "interval": interval.method, "blocks": len(cell["block_nats"])}
        | {"stride": cell["stride"], "seconds": round(cell["seconds"], 3)}
    )


def _comparison(name: str, pair: tuple[str, str], cells: Mapping[tuple[str, str], Cell], seed: int) -> Row:
    a, b = (cells[model, name] for model in pair)
    bits = [np.asarray(cell["block_nats"]) * BITS for cell in (a, b)]
    result = ratio_difference(bits[0], bits[1], _block_sizes(a), level=LEVEL, seed=seed)
    head = {"sample": name, "metric": "bits_per_byte", "a": pair[0], "b": pair[1]}
    return head | paired_numbers(result, higher_is_better=False)


def _block_sizes(cell: Cell) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.diff(block_borders(cell["bytes"], BLOCK_BYTES))
