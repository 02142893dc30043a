"""Token shards: all documents of a split as one array of ids on disk.

    tokens.bin      little-endian uint16 (uint32 from 65,537 tokens on), documents one after another
    tokens.idx      little-endian uint64, the end of each document in tokens
    manifest.json   tokenizer hash, type, counts

Documents hold their own tokens only: where a document starts is in the index, and who reads the
shards decides what to put there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import atomic_file, atomic_folder, hash_file, read_json, write_json
from fourfold.pretraining.corpus.documents import read_documents
from fourfold.progress import task
from fourfold.tokenizers import Tokenizer

_BATCH = 64


def encode_corpus(corpus_folder: Path, tokenizer: Tokenizer, out_folder: Path, split: str = "train") -> dict[str, Any]:
    """Encode a split of a corpus into `out_folder`; returns its manifest.

    The folder appears whole or not at all. Special-token strings in the text stay text.
    """
    source = Path(corpus_folder) / f"{split}.jsonl"
    kind = "<u2" if tokenizer.vocabulary_size <= 65536 else "<u4"
    ends: list[int] = []
    sizes = {"bytes": 0, "characters": 0}
    with atomic_folder(Path(out_folder)) as folder, task(f"encode {split}", unit="documents") as work:
        with atomic_file(folder / "tokens.bin") as stream:
            for texts in _batches(source):
                _write(stream, tokenizer.encode_batch_ordinary(texts), kind, ends)
                sizes["characters"] += sum(map(len, texts))
                sizes["bytes"] += sum(len(text.encode()) for text in texts)
                work.advance(len(texts))
        with atomic_file(folder / "tokens.idx") as stream:
            stream.write(np.asarray(ends, "<u8").tobytes())
        manifest = {
            "type": kind,
            "tokens": ends[-1] if ends else 0,
            "documents": len(ends),
            **sizes,
            "split": split,
            "vocabulary_size": tokenizer.vocabulary_size,
            "tokenizer_hash": tokenizer.hash,
            "sha256": hash_file(folder / "tokens.bin"),
            "index_sha256": hash_file(folder / "tokens.idx"),
        }
        write_json(folder / "manifest.json", manifest)
    return manifest


def _batches(path: Path) -> Iterator[list[str]]:
    texts = (document.text for document in read_documents(path))
    while batch := list(islice(texts, _BATCH)):
        yield batch


def _write(stream: IO[bytes], documents: list[list[int]], kind: str, ends: list[int]) -> None:
    for ids in documents:
        stream.write(np.asarray(ids, kind).tobytes())
        ends.append((ends[-1] if ends else 0) + len(ids))


def _check(file: Path, size: int, sha256: str | None) -> None:
    """Refuse a file that is not as it was written: its size, and, where given, its hash."""
    found = file.stat().st_size if file.is_file() else 0
    if found != size:
        raise UserError("the file is cut off", where=file, expected=f"{size:,} bytes", got=f"{found:,}")
    if sha256 is not None and hash_file(file) != sha256:
        raise UserError("the bytes do not match their SHA-256: damaged after they were written", where=file)


class TokenShards:
    """An encoded split, memory-mapped: `tokens` is one long array, `documents(i)` a view of it."""

    def __init__(self, tokens: NDArray[Any], ends: NDArray[np.int64], manifest: dict[str, Any]) -> None:
        self.tokens = tokens
        self.ends = ends
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer | None = None, *, verified: bool = False) -> TokenShards:
        """Open a folder that `encode_corpus` wrote; with a tokenizer, refuse what another one wrote.

        `verified` reads the whole file once and refuses one that is not what was written.
        """
        folder = Path(folder)
        manifest = read_json(folder / "manifest.json")
        if tokenizer is not None and manifest["tokenizer_hash"] != tokenizer.hash:
            raise UserError("these shards were written by another tokenizer", where=folder, advice="Encode again.")
        size = np.dtype(manifest["type"]).itemsize * manifest["tokens"]
        file, index = folder / "tokens.bin", folder / "tokens.idx"
        _check(file, size, manifest["sha256"] if verified else None)
        _check(
            index, 8 * manifest["documents"], manifest.get("index_sha256") if verified else None
        )  # older ones have none
        empty = np.empty(0, manifest["type"])
        tokens = np.memmap(file, manifest["type"], "r") if size else empty
        ends = np.fromfile(index, "<u8").astype(np.int64)
        return cls(tokens, ends, manifest)

    def __len__(self) -> int:
        """How many documents."""
        return len(self.ends)

    @property
    def token_count(self) -> int:
        return len(self.tokens)

    def documents(self, index: int) -> NDArray[Any]:
        """The ids of one document."""
        if not 0 <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        start = 0 if index == 0 else int(self.ends[index - 1])
        return self.tokens[start : int(self.ends[index])]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.documents(index) for index in range(len(self)))
