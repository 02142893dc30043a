"""The tensors against the architecture: names, shapes, and whether the head is the embedding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch

from fourfold.models import EncoderDecoderConfig, RecurrentConfig
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, listed, same
from fourfold.workflow.doctor.model import Model

BLOCK = 4096
"""Rows of embedding and head compared at a time."""

MISSING = kind("tensor-missing")
UNEXPECTED = kind("tensor-unexpected")
MISSHAPED = kind("tensor-misshaped")
VOCABULARY = kind("vocabulary-size")
TIED_DIFFER = kind("head-ignored")
HEAD_MISSING = kind("head-missing")
HEAD_COPIED = kind("head-copied")


def check(model: Model) -> Iterator[Outcome]:
    yield from _parts(model)
    if model.described is None or not model.entries or isinstance(model.described.config, RecurrentConfig):
        return
    wanted, found = model.described.wanted, model.described.found
    headless = "head.projection.weight" in wanted and "head.projection.weight" not in found
    if headless:
        yield HEAD_MISSING.at("config.json")
    spoiled = any(trouble.kind.code in ("tensor-misplaced", "shard-missing") for trouble in model.troubles)
    missing = [name for name in wanted if name not in found and not (headless and name.startswith("head."))]
    if missing and not spoiled:
        names = list(dict.fromkeys(map(model.described.in_file, missing)))
        yield MISSING.at(names[0], count=len(names), names=listed(names))
    unexpected = [name for name in found if name not in wanted]
    if unexpected:
        yield UNEXPECTED.at(unexpected[0], count=len(unexpected), names=listed(unexpected))
    yield from _shapes(model)
    yield from _ties(model)


def _shapes(model: Model) -> Iterator[Outcome]:
    assert model.described is not None
    wanted, found = model.described.wanted, model.described.found
    wrong = [name for name in wanted if name in found and wanted[name] != found[name]]
    rows = model.rows
    said = next((wanted[name][0] for name in wanted if name.endswith("embedding.weight")), None)
    if rows is not None and said is not None and rows != said:
        yield VOCABULARY.at(model.where("config.json"), expected=f"{said:,}", got=f"{rows:,}")
        wrong = [name for name in wrong if found[name][:1] != (rows,) or wanted[name][:1] != (said,)]
    for name in wrong[:3]:
        tensor = model.described.in_file(name)
        yield MISSHAPED.at(tensor, tensor=tensor, got=_by(found[name]), expected=_by(wanted[name]))


def _ties(model: Model) -> Iterator[Outcome]:
    embedding, head, described = model.embedding, model.head, model.described
    assert described is not None
    config = described.config
    if embedding is None or head is None or isinstance(config, RecurrentConfig):
        return
    if not (model.entries[head].whole and model.entries[embedding].whole):
        return
    options = (config.decoder if isinstance(config, EncoderDecoderConfig) else config).head
    if options is None:
        return
    equal = _equal(model, embedding, head)
    if options.tied and not equal:
        yield TIED_DIFFER.at(head)
    elif not options.tied and equal:
        yield HEAD_COPIED.at(head, bytes=f"{model.entries[head].numbers * 2 / 1e6:,.0f}")


def _equal(model: Model, one: str, other: str) -> bool:
    assert model.tensors is not None
    shape = model.entries[one].shape
    if shape != model.entries[other].shape:
        return False
    for start in range(0, shape[0], BLOCK):
        end = min(start + BLOCK, shape[0])
        if not torch.equal(model.tensors.rows(one, start, end), model.tensors.rows(other, start, end)):
            return False
    return True


def _parts(model: Model) -> Iterator[Fact]:
    if not model.entries or model.form == "adapter":
        return
    total = sum(entry.numbers for entry in model.entries.values())
    types = Counter(entry.type for entry in model.entries.values())
    told = ", ".join(f"{type} ×{count}" for type, count in types.most_common())
    yield Fact("parameters", Words("parameters", "参数"), same(f"{total:,}"))
    yield Fact("types", Words("types", "类型"), same(told))


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number"


CHECK: Check[Model] = Check(
    title=Words("Architecture", "结构"),
    run=check,
    kinds=(MISSING, UNEXPECTED, MISSHAPED, VOCABULARY, TIED_DIFFER, HEAD_MISSING, HEAD_COPIED),
)
