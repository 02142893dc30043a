"""GGUF metadata of a tokenizer: byte-level BPE, or SentencePiece with its scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.tokenizers.gguf_cuts import cut_name
from fourfold.tokenizers.gguf_pieces import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    is_byte,
    merges_of,
)
from fourfold.tokenizers.tokenizer import Tokenizer


def to_gguf(tokenizer: Tokenizer, vocabulary_size: int | None = None) -> dict[str, Any]:
    """GGUF metadata of a BPE tokenizer, filled up to the model's vocabulary size."""
    core = tokenizer.core_copy()
    values = json.loads(core.to_str())
    model = values["model"]
    if model.get("type") != "BPE" or not (tokenizer.is_byte_level or model.get("byte_fallback")):
        kind = "byte-level BPE, or BPE that falls back to bytes"
        raise UserError("this kind of tokenizer has no GGUF form we write", expected=kind, got=model.get("type"))
    size = max(vocabulary_size or 0, tokenizer.vocabulary_size)
    tokens = {id: token for token, id in core.get_vocab(with_added_tokens=True).items()}
    added = {id: token.special for id, token in core.get_added_tokens_decoder().items()}
    names = [tokens.get(id, f"[PAD{id}]") for id in range(size)]
    named = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "padding": tokenizer.pad_id, "unknown": tokenizer.unk_id}
    ends = tokenizer.encode("")
    kind_keys = _byte_level(values) if tokenizer.is_byte_level else _sentence_piece(values, names)
    types = [_type(id, tokens, added, tokenizer) for id in range(size)]
    metadata = {
        **kind_keys,
        "tokenizer.ggml.tokens": [
            name.replace(SPACE, " ") if type == USER_DEFINED and not tokenizer.is_byte_level else name
            for name, type in zip(names, types, strict=True)
        ],
        "tokenizer.ggml.token_type": types,
        **{f"tokenizer.ggml.{name}_token_id": id for name, id in named.items() if id is not None},
        "tokenizer.ggml.add_bos_token": tokenizer.bos_id is not None and ends[:1] == [tokenizer.bos_id],
    }
    after = ends[1:] if metadata["tokenizer.ggml.add_bos_token"] else ends
    if tokenizer.eos_id is not None and after == [tokenizer.eos_id]:
        metadata["tokenizer.ggml.add_eos_token"] = True
    if tokenizer.chat_template is not None:
        metadata["tokenizer.chat_template"] = tokenizer.chat_template
    return metadata


def _type(id: int, tokens: Mapping[int, str], added: Mapping[int, bool], tokenizer: Tokenizer) -> int:
    if id not in tokens:
        return UNUSED
    if not tokenizer.is_byte_level and id == tokenizer.unk_id:
        return UNKNOWN
    if id in added:
        return CONTROL if added[id] else USER_DEFINED
    return BYTE if not tokenizer.is_byte_level and is_byte(tokens[id]) else NORMAL


def _byte_level(values: Mapping[str, Any]) -> dict[str, Any]:
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in values["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": cut_name(values["pre_tokenizer"], bool(merges)),
        "tokenizer.ggml.merges": merges,
    }


def _sentence_piece(values: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Scores in place of ranks: a token's is the rank of the first merge that makes it, negated.

    llama.cpp merges any two tokens that make a third, so every such pair must be among the merges.
    """
    pairs = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in values["model"]["merges"]]
    ranks: dict[str, int] = {}
    for left, right in pairs:
        ranks.setdefault(left + right, len(ranks))
    vocabulary = values["model"]["vocab"]
    scores = [0.0 if is_byte(name) else -float(ranks.get(name, len(ranks))) for name in names]
    possible = merges_of(vocabulary, scores)
    if set(possible) != set(pairs):
        raise UserError(
            "llama.cpp would merge other pairs than this tokenizer does", advice="Keep the model as a folder."
        )
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": _prepends(values),
    }


def _prepends(values: Mapping[str, Any]) -> bool:
    """Whether a text gets a space in front, by a normaliser (Llama 2) or by the cut."""
    text = json.dumps([values["normalizer"], values["pre_tokenizer"]], ensure_ascii=False)
    return '"Prepend"' in text or '"prepend_scheme": "first"' in text or '"prepend_scheme": "always"' in text
