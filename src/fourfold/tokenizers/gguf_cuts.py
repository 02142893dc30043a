"""How byte-level vocabularies cut text before merging, by the names llama.cpp gives (`tokenizer.ggml.pre`)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import tokenizers
from tokenizers import Regex, models, pre_tokenizers

from fourfold.errors import UserError

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
_EAST_ASIAN = r"[一-龥ࠀ-一가-퟿]+"
DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}")
DEEPSEEK_LLM = (
    r"[\r\n]",
    r"\s?[\p{Lu}\p{Ll}\p{Lt}]+",  # llama.cpp lists the letters with case one by one
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    _EAST_ASIAN,
    r"\p{N}+",
)
_ASCII_MARKS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    rf"{_ASCII_MARKS}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)


class Cut(NamedTuple):
    """How a byte-level vocabulary cuts text before merging."""

    patterns: tuple[str, ...] = ()
    """One after the other on the pieces so far; none: GPT-2's pattern."""
    digits: bool = False
    """Every digit stands alone."""
    composed: bool = False
    """Text is put in Unicode form C first."""
    whole_tokens: bool = False
    """A piece that is a token needs no merges."""
    starts: bool = False
    """A start token is added unless the file says otherwise."""


_GPT2, _DIGITS, _LLAMA3 = Cut(), Cut(digits=True), Cut((LLAMA3,), whole_tokens=True, starts=True)
_QWEN2, _TEKKEN = Cut((QWEN2,), composed=True), Cut((TEKKEN,), whole_tokens=True, starts=True)
CUTS = {
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt", "jais"), _GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"), _DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"), _QWEN2),
    "tekken": _TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4"), Cut((GPT4O,))),
    "deepseek-llm": Cut(DEEPSEEK_LLM),
    "deepseek-coder": Cut(DEEPSEEK_CODER),
    "deepseek-v3": Cut(DEEPSEEK_V3),
}


def pre_tokenizer(cut: Cut) -> pre_tokenizers.PreTokenizer:
    """The cut as the `tokenizers` library has it."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not cut.patterns)
    if cut.digits:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in cut.patterns]
    return pre_tokenizers.Sequence([*splits, level]) if splits else level


def cut_name(pre_tokenizer_values: Any, has_merges: bool) -> str:
    """The name of a cut as `tokenizer.json` has it; without merges every cut gives the same tokens."""
    for name, cut in CUTS.items():
        wrapped = tokenizers.Tokenizer(models.BPE())
        wrapped.pre_tokenizer = pre_tokenizer(cut)
        if _plain(json.loads(wrapped.to_str())["pre_tokenizer"]) == _plain(pre_tokenizer_values):
            return name
    if not has_merges:
        return "gpt-2"
    raise UserError(
        "llama.cpp has no name for this tokenizer's way of cutting text", advice="Keep the model as a folder."
    )


def _plain(value: Any) -> Any:
    """Without what plays no part in the ids: offsets and defaults."""
    if isinstance(value, dict):
        skipped = ("trim_offsets", "add_prefix_space")
        return {name: _plain(item) for name, item in value.items() if name not in skipped}
    return [_plain(item) for item in value] if isinstance(value, list) else value
