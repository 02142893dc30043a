"""Where texts begin and end: start and end tokens of the tokenizer, the template and the configurations."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.errors import UserError
from fourfold.tokenizers import Tokenizer
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, same
from fourfold.workflow.doctor.model import Model, ids_of

PROBE = "The sky is blue."
TURN = [{"role": "user", "content": PROBE}]
SHOWN_IDS = 12
NEEDS_START = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text"})
"""Families that are worth little without their start token (lm-evaluation-harness, pull request 1465)."""
ENDS_OF_TURN = frozenset(
    ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|endoftext|>", "<|eom_id|>", "</s>")
)
"""What llama.cpp takes for an end of turn by its spelling."""

TWICE = kind("bos-twice")
DOUBLED = kind("bos-doubled")
NO_START = kind("bos-missing")
END_ADDED = kind("eos-added")
DIFFERENT = kind("special-id-differs")
NO_STOP = kind("stop-missing")
PAD_IS_END = kind("pad-is-eos")


def check(model: Model) -> Iterator[Outcome]:
    tokenizer = model.tokenizer
    if tokenizer is None:
        return
    plain = tokenizer.encode(PROBE)
    added = first_ids(tokenizer, plain)
    yield Fact("text_ids", Words("first ids, text", "文本的首批编号"), same(added))
    yield from _around(model, tokenizer, plain)
    yield from _named(model, tokenizer)
    if tokenizer.chat_template is not None:
        yield from _conversations(model, tokenizer)
    if tokenizer.pad_id is not None and tokenizer.pad_id == tokenizer.eos_id:
        yield PAD_IS_END.at(model.where("tokenizer_config.json"), token=repr(model.names.get(tokenizer.pad_id)))


def first_ids(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Ids with what they stand for, as the log of a run should show them."""
    told = [f"{id} {tokenizer.token_bytes(id).decode(errors='replace')!r}" for id in ids[:SHOWN_IDS]]
    return " · ".join(told) + (" …" if len(ids) > SHOWN_IDS else "")


def _around(model: Model, tokenizer: Tokenizer, plain: list[int]) -> Iterator[Outcome]:
    """What the tokenizer's own rule puts around a text."""
    where = model.where("tokenizer.json")
    start = tokenizer.bos_id
    if start is not None and plain[:2] == [start, start]:
        yield TWICE.at(where, token=repr(model.names[start]))
    bare = tokenizer.encode_ordinary(PROBE)
    begins = plain[: len(plain) - len(bare)] if plain != bare else []
    if model.direction == "decoder":
        asked = model.settings.get("add_bos_token", model.config.get("tokenizer.ggml.add_bos_token"))
        if start not in begins and start is not None and asked is True:
            yield NO_START.at(where, reason=Words("the settings ask for one", "设置要求加"))
        elif start not in begins and model.weights.kind in NEEDS_START:
            kind = model.weights.kind
            yield NO_START.at(where, reason=Words(f"{kind} models need one", f"{kind} 模型需要"))
        end = tokenizer.eos_id
        if end is not None and plain[-1:] == [end] and bare[-1:] != [end]:
            yield END_ADDED.at(where, token=repr(model.names[end]))


def _named(model: Model, tokenizer: Tokenizer) -> Iterator[Outcome]:
    """Ids in the configurations against the tokenizer's."""
    ours = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    files = {"generation_config.json": model.generation}
    if model.form == "folder":
        files["config.json"] = model.config
    for file, values in files.items():
        for name, got in ours.items():
            said = ids_of(values.get(name))
            if got is not None and said and got not in said and all(0 <= id <= max(model.names) for id in said):
                told = ", ".join(map(str, said))
                yield DIFFERENT.at(file, file=file, name=name, said=told, got=got, token=repr(model.names.get(got)))


def _conversations(model: Model, tokenizer: Tokenizer) -> Iterator[Outcome]:
    try:
        text = tokenizer.render_chat(TURN)
        ids = tokenizer.encode_chat(TURN)
        last = tokenizer.end_of_turn_id
    except (UserError, ValueError, LookupError):
        return  # the check of the template tells
    yield Fact("chat_ids", Words("first ids, chat", "对话的首批编号"), same(first_ids(tokenizer, ids)))
    start = tokenizer.bos_id
    spelt = start is not None and text.startswith(model.names[start])
    if start is not None and spelt and model.core.encode(text).ids[:2] == [start, start]:
        yield DOUBLED.at(model.where("tokenizer.json"), token=repr(model.names[start]))
    stops = {id for values in (model.generation, model.config) for id in ids_of(values.get("eos_token_id"))}
    stops = set(ids_of(model.generation.get("eos_token_id"))) or stops
    if model.form == "gguf":
        named = (model.config.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom"))
        stops = {id for value in named for id in ids_of(value)}
    elif model.form == "adapter":
        stops = set()
    if stops and last is not None and last not in stops:
        token = model.names.get(last, "")
        if model.form != "gguf" or token not in ENDS_OF_TURN:
            yield NO_STOP.at(model.where("generation_config.json"), token=repr(token), id=last)


CHECK: Check[Model] = Check(
    title=Words("Start and end", "起止"),
    run=check,
    kinds=(TWICE, DOUBLED, NO_START, END_ADDED, DIFFERENT, NO_STOP, PAD_IS_END),
)
