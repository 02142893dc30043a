"""Tokenizers inside GGUF files: from the metadata and back.

A GGUF file has no `tokenizer.json`. It names a pre-tokenizer (`tokenizer.ggml.pre`) and lists the
tokens, their types and merges or scores; the rest is convention. We follow llama.cpp's conventions,
which are those of the original tokenizers: "smollm", for one, cuts digits apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from fourfold.errors import UserError, unknown_name
from fourfold.progress import say
from fourfold.tokenizers.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}{_REST}"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SHORT}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SHORT}|\p{{N}}{{1,3}}{_REST}"
)


class Cut(NamedTuple):
    """How a byte-level vocabulary cuts text before merging."""

    pattern: str | None = None
    """None: GPT-2's pattern."""
    digits: bool = False
    """Every digit stands alone."""
    composed: bool = False
    """Text is put in Unicode form C first."""
    whole_tokens: bool = False
    """A piece that is a token needs no merges."""
    starts: bool = False
    """A start token is added unless the file says otherwise."""


_GPT2, _DIGITS, _LLAMA3 = Cut(), Cut(digits=True), Cut(LLAMA3, whole_tokens=True, starts=True)
_QWEN2, _TEKKEN, _GPT4O = Cut(QWEN2, composed=True), Cut(TEKKEN, whole_tokens=True, starts=True), Cut(GPT4O)
CUTS = {
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt", "jais"), _GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"), _QWEN2),
    "tekken": _TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4"), _GPT4O),
}


def from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that the metadata of a GGUF file describes, chat template included."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if kind is None or not isinstance(tokens, list) or not tokens:
        raise UserError("the GGUF file holds no tokenizer", expected="tokenizer.ggml.model and .tokens")
    if kind not in ("gpt2", "llama"):
        raise unknown_name("GGUF tokenizer type", str(kind), ["gpt2", "llama"])
    core, starts = _byte_level(metadata, tokens) if kind == "gpt2" else _sentence_piece(metadata, tokens)
    types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise UserError("the GGUF tokenizer is damaged", expected=f"{len(tokens)} token types", got=len(types))
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


def _byte_level(metadata: Mapping[str, Any], tokens: list[str]) -> tuple[tokenizers.Tokenizer, bool]:
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
    vocabulary = {token: id for id, token in enumerate(tokens)}
    try:
        model = models.BPE(vocab=vocabulary, merges=merges, ignore_merges=cut.whole_tokens)
    except Exception as error:  # the library raises plain Exception
        raise UserError("the GGUF tokenizer is damaged", got=str(error)) from error
    core = tokenizers.Tokenizer(model)
    if cut.composed:
        core.normalizer = normalizers.NFC()
    core.pre_tokenizer = _pre_tokenizer(cut)
    core.decoder = decoders.ByteLevel()
    return core, cut.starts


def _pre_tokenizer(cut: Cut) -> pre_tokenizers.PreTokenizer:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut.pattern is None)
    if cut.digits:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    if cut.pattern is not None:
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(cut.pattern), behavior="isolated"), level])
    return level


def _sentence_piece(metadata: Mapping[str, Any], tokens: list[str]) -> tuple[tokenizers.Tokenizer, bool]:
    """SentencePiece BPE (Kudo & Richardson 2018): the best-scored pair merges first, unknown characters are bytes."""
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise UserError("the GGUF tokenizer is damaged", expected=f"{len(tokens)} scores")
    vocabulary = {token: id for id, token in enumerate(tokens)}
    merges = _merges(vocabulary, scores)
    unknown = _named(metadata, tokens, "unknown") or "<unk>"
    core = tokenizers.Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first" if prefix else "never", split=False)
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    core.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return core, True


def _merges(vocabulary: Mapping[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, in the order SentencePiece would choose them."""
    ranked = []
    for token, id in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                ranked.append((-scores[id], -len(left), -len(right), vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(ranked)]


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


def to_gguf(tokenizer: Tokenizer, vocabulary_size: int | None = None) -> dict[str, Any]:
    """GGUF metadata of a byte-level BPE tokenizer, filled up to the model's vocabulary size."""
    core = tokenizer.core_copy()
    values = json.loads(core.to_str())
    model = values["model"]
    if not tokenizer.is_byte_level or model.get("type") != "BPE":
        raise UserError("only byte-level BPE tokenizers can be written to GGUF", got=model.get("type"))
    size = max(vocabulary_size or 0, tokenizer.vocabulary_size)
    vocabulary = {id: token for token, id in core.get_vocab(with_added_tokens=True).items()}
    added = core.get_added_tokens_decoder()
    types = [
        (CONTROL if added[id].special else USER_DEFINED) if id in added else NORMAL if id in vocabulary else UNUSED
        for id in range(size)
    ]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    added_ends = tokenizer.encode("")
    named = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "padding": tokenizer.pad_id, "unknown": tokenizer.unk_id}
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _cut_name(values["pre_tokenizer"], bool(merges)),
        "tokenizer.ggml.tokens": [vocabulary.get(id, f"[PAD{id}]") for id in range(size)],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        **{f"tokenizer.ggml.{name}_token_id": id for name, id in named.items() if id is not None},
        "tokenizer.ggml.add_bos_token": tokenizer.bos_id is not None and added_ends[:1] == [tokenizer.bos_id],
    }
    if tokenizer.chat_template is not None:
        metadata["tokenizer.chat_template"] = tokenizer.chat_template
    return metadata


def _cut_name(pre_tokenizer: Any, has_merges: bool) -> str:
    """The pre-tokenizer's name in llama.cpp; without merges every cut gives the same tokens."""

    def plain(value: Any) -> Any:  # offsets play no part in the ids
        if isinstance(value, dict):
            return {
                name: plain(item) for name, item in value.items() if name not in ("trim_offsets", "add_prefix_space")
            }
        return [plain(item) for item in value] if isinstance(value, list) else value

    for name, cut in CUTS.items():
        wrapped = tokenizers.Tokenizer(models.BPE())
        wrapped.pre_tokenizer = _pre_tokenizer(cut)
        if plain(json.loads(wrapped.to_str())["pre_tokenizer"]) == plain(pre_tokenizer):
            return name
    if not has_merges:
        return "gpt-2"
    raise UserError(
        "llama.cpp has no name for this tokenizer's way of cutting text", advice="Keep the model as a folder."
    )
