"""Tokenizers inside GGUF files, read from the metadata.

A GGUF file has no `tokenizer.json`. It names a pre-tokenizer (`tokenizer.ggml.pre`) and lists the
tokens, their types and merges or scores; the rest is convention. We follow llama.cpp's conventions,
which are those of the original tokenizers: "smollm", for one, cuts digits apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, processors

from fourfold.errors import UserError, unknown_name
from fourfold.progress import say
from fourfold.tokenizers.gguf_cuts import CUTS, pre_tokenizer
from fourfold.tokenizers.gguf_pieces import CONTROL, NORMAL, SPACE, UNUSED, USER_DEFINED, merges_of
from fourfold.tokenizers.tokenizer import Tokenizer


def from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that the metadata of a GGUF file describes, chat template included."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if kind is None or not isinstance(tokens, list) or not tokens:
        raise UserError("the GGUF file holds no tokenizer", expected="tokenizer.ggml.model and .tokens")
    if kind not in ("gpt2", "llama"):
        raise unknown_name("GGUF tokenizer type", str(kind), ["gpt2", "llama"])
    types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise UserError("the GGUF tokenizer is damaged", expected=f"{len(tokens)} token types", got=len(types))
    read = _byte_level if kind == "gpt2" else _sentence_piece
    # What only fills the table up to the size of the model is no token.
    vocabulary = {token: id for id, (token, type) in enumerate(zip(tokens, types, strict=True)) if type != UNUSED}
    try:
        core, starts = read(metadata, vocabulary)
    except (TypeError, ValueError) as error:
        raise UserError("the GGUF tokenizer is damaged", got=str(error)[:100]) from None
    for wanted, special in ((CONTROL, True), (USER_DEFINED, False)):
        chosen = [token for token, type in zip(tokens, types, strict=True) if type == wanted and token]
        core.add_tokens([AddedToken(token, special=special, normalized=False) for token in chosen])

    names = {name: _named(metadata, tokens, key) for name, key in _NAMED.items()}
    _add_ends(core, metadata, names, starts)
    template = metadata.get("tokenizer.chat_template")
    return Tokenizer(
        core,
        bos=names["bos"],
        eos=names["eos"],
        pad=names["pad"],
        unk=names["unk"],
        chat_template=None if template is None else str(template),
    )


_NAMED = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}


def _named(metadata: Mapping[str, Any], tokens: list[str], key: str) -> str | None:
    id = metadata.get(f"tokenizer.ggml.{key}_token_id")
    if id is None:
        return None
    if not 0 <= id < len(tokens):
        raise UserError(f"the GGUF tokenizer's {key} token is no token", expected=f"0 to {len(tokens) - 1}", got=id)
    return str(tokens[id])


def _byte_level(metadata: Mapping[str, Any], vocabulary: dict[str, int]) -> tuple[tokenizers.Tokenizer, bool]:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name == "default":
        say("the GGUF file does not name its pre-tokenizer; text is cut as GPT-2 does")
        name = "gpt-2"
    if name not in CUTS:
        raise unknown_name("pre-tokenizer", str(name), CUTS)
    cut = CUTS[name]
    merges = [tuple(merge.split(" ")) for merge in metadata.get("tokenizer.ggml.merges", [])]
    if any(len(pair) != 2 for pair in merges):
        raise UserError("the GGUF tokenizer is damaged: a merge is not a pair of tokens")
    try:
        model = models.BPE(vocab=vocabulary, merges=merges, ignore_merges=cut.whole_tokens)
    except Exception as error:  # the library raises plain Exception
        raise UserError("the GGUF tokenizer is damaged", got=str(error)) from error
    core = tokenizers.Tokenizer(model)
    if cut.composed:
        core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizer(cut)
    core.decoder = decoders.ByteLevel()
    return core, cut.starts


def _sentence_piece(metadata: Mapping[str, Any], vocabulary: dict[str, int]) -> tuple[tokenizers.Tokenizer, bool]:
    """SentencePiece BPE (Kudo & Richardson 2018): the best-scored pair merges first, unknown characters are bytes.

    As in llama.cpp a space goes in front of the text, and again after every control or user-defined token.
    """
    scores = metadata.get("tokenizer.ggml.scores")
    tokens = metadata["tokenizer.ggml.tokens"]
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise UserError("the GGUF tokenizer is damaged", expected=f"{len(tokens)} scores")
    types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    mergeable = {token: id for token, id in vocabulary.items() if types[id] in (NORMAL, USER_DEFINED)}
    merges = merges_of(mergeable, scores)
    unknown = _named(metadata, tokens, "unknown") or "<unk>"
    core = tokenizers.Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    spaces = normalizers.Replace(" ", SPACE)
    core.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), spaces]) if prefix else spaces
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    core.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return core, True


def _add_ends(
    core: tokenizers.Tokenizer, metadata: Mapping[str, Any], names: Mapping[str, str | None], starts: bool
) -> None:
    """The tokenizer's own rule: a start or an end token around a text, if the file wants it."""
    bos = names["bos"] if metadata.get("tokenizer.ggml.add_bos_token", starts) else None
    eos = names["eos"] if metadata.get("tokenizer.ggml.add_eos_token", False) else None
    used = [token for token in (bos, eos) if token is not None]
    if used:
        core.post_processor = processors.TemplateProcessing(
            single=" ".join(part for part in (bos, "$A", eos) if part is not None),
            special_tokens=[(token, core.token_to_id(token)) for token in dict.fromkeys(used)],
        )
