"""The tokenizer against the embedding: ids without a row, ids for two, rows that were never trained, names cut up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from fourfold.tokenizers import Tokenizer
from fourfold.workflow.doctor.findings import Check, Outcome, Words, kind, listed
from fourfold.workflow.doctor.model import Model, ids_of

NAMED = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
QUICK_ROWS = 4096
"""Rows of added and special tokens looked at without --deep."""
MUCH = 1.25
"""An embedding so many times larger than the tokenizer is another tokenizer's."""
SOME = 256

BEYOND = kind("tokenizer-beyond-embedding")
TOO_FEW = kind("tokenizer-too-small")
SHARED = kind("id-shared")
MOVED = kind("token-moved")
ABSENT = kind("special-token-absent")
SPLIT = kind("special-token-split")
OUT_OF_RANGE = kind("special-id-out-of-range")
UNTRAINED = kind("token-untrained")
UNUSED = kind("rows-untrained")


def check(model: Model) -> Iterator[Outcome]:
    yield from _written(model.rules)
    yield from _moved(model)
    tokenizer = model.tokenizer
    rows = model.weights.rows
    if tokenizer is None:
        yield from _absent(model)
        return
    if rows is not None and model.form != "adapter":
        yield from _sizes(model, tokenizer, rows)
    yield from _absent(model)
    yield from _split(model)
    yield from _numbers(model, rows or tokenizer.vocabulary_size)
    yield from _trained(model, tokenizer)


def vocabulary_of(rules: Mapping[str, Any]) -> dict[str, int]:
    """Tokens and ids in `tokenizer.json`, as far as it is what it should be; a Unigram's ids are its places."""
    inner = rules.get("model")
    pieces = inner.get("vocab") if isinstance(inner, dict) else None
    if isinstance(pieces, list):
        return {str(piece[0]): id for id, piece in enumerate(pieces) if isinstance(piece, list) and piece}
    return {name: id for name, id in pieces.items() if type(id) is int} if isinstance(pieces, dict) else {}


def added_tokens(rules: Mapping[str, Any]) -> dict[str, int]:
    tokens = rules.get("added_tokens")
    return {
        str(token.get("content")): token["id"]
        for token in (tokens if isinstance(tokens, list) else [])
        if isinstance(token, dict) and type(token.get("id")) is int
    }


def _written(rules: Mapping[str, Any]) -> Iterator[Outcome]:
    """Ids that two tokens share, which libraries read without complaint."""
    owners: dict[int, list[str]] = {}
    for name, id in (vocabulary_of(rules) | added_tokens(rules)).items():
        owners.setdefault(id, []).append(name)
    for names in [names for names in owners.values() if len(names) > 1][:3]:
        yield SHARED.at("tokenizer.json", names=listed(map(repr, names)))


def _moved(model: Model) -> Iterator[Outcome]:
    said = model.settings.get("added_tokens_decoder")
    known = vocabulary_of(model.rules) | added_tokens(model.rules)
    for number, token in said.items() if isinstance(said, dict) and known else ():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str) and str(number).isdigit() and known.get(content, int(number)) != int(number):
            yield MOVED.at("tokenizer_config.json", token=content, said=number, got=known[content])


def _sizes(model: Model, tokenizer: Tokenizer, rows: int) -> Iterator[Outcome]:
    size = tokenizer.vocabulary_size
    if size > rows:
        names = [repr(model.names[id]) for id in sorted(model.names) if id >= rows]
        where = model.where("tokenizer.json")
        yield BEYOND.at(where, tokens=f"{size:,}", rows=f"{rows:,}", names=listed(names))
    elif rows > MUCH * size and rows - size > SOME and model.form != "gguf":
        yield TOO_FEW.at("tokenizer.json", tokens=f"{size:,}", rows=f"{rows:,}")


def named_tokens(model: Model) -> dict[str, str]:
    """What the settings name as special tokens, by the name of the setting."""
    found: dict[str, str] = {}
    for name in NAMED:
        token = model.settings.get(name)
        content = token.get("content") if isinstance(token, dict) else token
        if isinstance(content, str) and content:
            found[name] = content
    more = model.settings.get("additional_special_tokens")
    for number, token in enumerate(more if isinstance(more, list) else []):
        content = token.get("content") if isinstance(token, dict) else token
        if isinstance(content, str) and content:
            found[f"additional_special_tokens[{number}]"] = content
    return found


def _absent(model: Model) -> Iterator[Outcome]:
    known = vocabulary_of(model.rules) | added_tokens(model.rules)
    declared = model.settings.get("added_tokens_decoder")
    contents = {token.get("content") for token in declared.values() if isinstance(token, dict)} \
        if isinstance(declared, dict) else set()  # fmt: skip
    for name, token in named_tokens(model).items() if known else ():
        if token not in known and token not in contents:
            yield ABSENT.at("tokenizer_config.json", name=name, token=repr(token))


def _split(model: Model) -> Iterator[Outcome]:
    """A special token has to be found whole in a rendered conversation."""
    core = model.core
    for token in {token: None for name, token in named_tokens(model).items() if name != "unk_token"}:
        id = core.token_to_id(token)
        if id is None:
            continue
        pieces = core.encode(token, add_special_tokens=False).ids
        if pieces != [id] and not (len(pieces) <= 2 and id in pieces):  # a space in front is the tokenizer's own
            yield SPLIT.at("tokenizer.json", token=repr(token), count=len(pieces))


def _numbers(model: Model, rows: int) -> Iterator[Outcome]:
    sources = {"generation_config.json": model.generation}
    if model.form == "folder":
        sources["config.json"] = model.config
    for file, values in sources.items():
        for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            for id in ids_of(values.get(name)):
                if not 0 <= id < rows:
                    yield OUT_OF_RANGE.at(file, name=name, id=id, last=f"{rows - 1:,}")


def _trained(model: Model, tokenizer: Tokenizer) -> Iterator[Outcome]:
    """Rows that are zero or equal: as resized tables have them, or tables that were never trained there."""
    holder = model.weights
    name = holder.embedding
    if name is None or holder.tensors is None or not holder.entries[name].whole or holder.described is None:
        return
    rows = holder.entries[name].shape[0]
    names = model.names
    used = {id for id in control_ids(model) if id < rows}
    added = sorted(id for id in model.core.get_added_tokens_decoder() if id < rows)
    wanted = sorted(names) if model.deep else sorted({*added[:QUICK_ROWS], *used})
    wanted = [id for id in wanted if id < rows and (id in used or id not in (tokenizer.pad_id, tokenizer.unk_id))]
    zero, equal = _odd_rows(holder, name, wanted)
    zero -= {tokenizer.pad_id}  # padding is never learned, even where it is the end token too
    for how, ids in ((Words("zero", "为零"), zero), (Words("equal to each other", "彼此相同"), equal)):
        if bad := sorted(used & ids):
            yield UNTRAINED.at(name, names=listed([repr(names[id]) for id in bad]), how=how)
    idle = sorted((zero | equal) - used)
    if idle:
        yield UNUSED.at(name, count=f"{len(idle):,}", names=listed([repr(names.get(id, id)) for id in idle]))


def control_ids(model: Model) -> set[int]:
    """The start and end tokens, and special tokens that the chat template spells."""
    assert model.tokenizer is not None
    ids = {id for id in (model.tokenizer.bos_id, model.tokenizer.eos_id) if id is not None}
    template = model.tokenizer.chat_template or ""
    return ids | {id for id in model.tokenizer.special_ids if model.names.get(id, "\0") in template}


def _odd_rows(holder: Model, name: str, ids: list[int]) -> tuple[set[int], set[int]]:
    """Ids whose rows are zero, and ids whose rows are those of another id."""
    assert holder.tensors is not None
    zero: set[int] = set()
    owners: dict[bytes, list[int]] = {}
    for first, last in _runs(ids):
        part: Tensor = holder.tensors.rows(name, first, last + 1)
        for id, row in zip(range(first, last + 1), part, strict=True):
            if not bool(row.any()):
                zero.add(id)
            elif bool(torch.isfinite(row).all()):
                owners.setdefault(blake2b(row.numpy().tobytes(), digest_size=16).digest(), []).append(id)
    equal = {id for same in owners.values() if len(same) > 1 for id in same}
    wanted = set(ids)
    return zero & wanted, equal & wanted


def _runs(ids: list[int], longest: int = 1024) -> Iterator[tuple[int, int]]:
    """Neighbouring ids together."""
    start = previous = None
    for id in ids:
        if start is None or previous is None:
            start = previous = id
        elif id != previous + 1 or id - start >= longest:
            yield start, previous
            start = previous = id
        else:
            previous = id
    if start is not None and previous is not None:
        yield start, previous


CHECK: Check[Model] = Check(
    title=Words("Vocabulary", "词表"),
    run=check,
    kinds=(BEYOND, TOO_FEW, SHARED, MOVED, ABSENT, SPLIT, OUT_OF_RANGE, UNTRAINED, UNUSED),
)
