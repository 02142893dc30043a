"""GGUF files: which tensors are packed how, and combinations known to go wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from fourfold.workflow.doctor.findings import Check, Outcome, Words, kind, listed
from fourfold.workflow.doctor.model import Model

PLAIN = frozenset({"F32", "F16", "BF16", "F64"})
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q3_K",
    13: "Q3_K", 14: "Q4_K", 15: "Q4_K", 16: "Q5_K", 17: "Q5_K", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
"""`general.file_type` to the type that gave it its name."""
FALLBACKS = {
    "Q4_K": ("Q5_0",), "Q5_K": ("Q5_1",), "Q6_K": ("Q8_0",), "Q2_K": ("IQ4_NL", "Q4_0"), "Q3_K": ("IQ4_NL", "Q4_0"),
}  # fmt: skip
"""What llama.cpp takes instead where rows do not fill blocks of 256."""

VECTOR_PACKED = kind("gguf-vector-packed")
ENDS_LOW = kind("gguf-ends-low")
LAYER_UNLIKE = kind("gguf-layer-unlike")
FILE_TYPE = kind("gguf-file-type")
NO_CUT = kind("gguf-pre-missing")


def check(model: Model) -> Iterator[Outcome]:
    if model.form != "gguf" or not model.entries:
        return
    where = model.place.name
    vectors = [name for name, entry in model.entries.items() if not entry.is_matrix and entry.type not in PLAIN]
    if vectors:
        yield VECTOR_PACKED.at(vectors[0], count=len(vectors), names=listed(vectors))
    for name in filter(None, (model.embedding, model.head)):
        type = model.entries[name].type
        if re.match(r"I?Q[123]_|TQ", type):
            yield ENDS_LOW.at(name, tensor=name, type=type)
    yield from _layers(model)
    yield from _file_type(model, where)
    kind_, cut = (model.config.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    if kind_ == "gpt2" and cut in (None, "default"):
        yield NO_CUT.at(where)


def _layers(model: Model) -> Iterator[Outcome]:
    """One layer packed unlike all others; mixtures of K types treat several layers alike."""
    parts: dict[str, dict[str, str]] = {}
    for name, entry in model.entries.items():
        found = re.fullmatch(r"blk\.\d+\.(.+)", name)
        if found and entry.is_matrix:
            parts.setdefault(found[1], {})[name] = entry.type
    for types in parts.values():
        counts = Counter(types.values())
        rare = [name for name, type in types.items() if counts[type] == 1]
        if len(counts) == 2 and len(rare) == 1 and len(types) >= 4:
            other = counts.most_common(1)[0][0]
            yield LAYER_UNLIKE.at(rare[0], tensor=rare[0], type=types[rare[0]], other=other)


def _file_type(model: Model, where: str) -> Iterator[Outcome]:
    number = model.config.get("general.file_type")
    said = FILE_TYPES.get(number) if type(number) is int else None
    sizes: Counter[str] = Counter()
    for name, entry in model.entries.items():
        if entry.is_matrix and name not in (model.embedding, model.head):
            sizes[entry.type] += entry.numbers
    if said is None or not sizes:
        return
    most = sizes.most_common(1)[0][0]
    if most != said and most not in FALLBACKS.get(said, ()):
        yield FILE_TYPE.at(where, said=said, got=most)


CHECK: Check[Model] = Check(
    title=Words("GGUF", "GGUF"), run=check, kinds=(VECTOR_PACKED, ENDS_LOW, LAYER_UNLIKE, FILE_TYPE, NO_CUT)
)
