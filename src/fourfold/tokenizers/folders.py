"""Tokenizer folders in Hugging Face's layout: `tokenizer.json`, or the vocabulary files that came before it.

vocab.txt                  WordPiece, as BERT released it
vocab.json, merges.txt     byte-level BPE, as GPT-2, RoBERTa and BART released it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from fourfold.errors import UserError
from fourfold.files import read_json, read_text

NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
FILE, WORD_PIECES, VOCABULARY, MERGES = "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"
SENTENCE_PIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
BERT_NAMES = {
    "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
}  # fmt: skip
ROBERTA_NAMES = {
    "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
}  # fmt: skip


class Parts(NamedTuple):
    """What a folder says of its tokenizer."""

    core: tokenizers.Tokenizer
    names: dict[str, str | None]
    """The tokens of `NAMED`."""
    chat_template: str | None
    extra: dict[str, Any]
    """Every other setting; `mask_token` is among them."""


def has_tokenizer(folder: Path) -> bool:
    """Whether the folder holds files `read_folder` reads."""
    return any((folder / name).is_file() for name in (FILE, WORD_PIECES, VOCABULARY))


def read_folder(folder: Path) -> Parts:
    """The tokenizer of a folder; UserError names the file that is missing or damaged."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if not isinstance(found, dict):
                raise UserError("not the settings of a tokenizer: names and values", where=folder / name)
            settings |= found
    core = _core(folder, settings)
    template = _default_template(settings.pop("chat_template", None))
    if (folder / "chat_template.jinja").is_file():
        template = read_text(folder / "chat_template.jinja")
    settings.pop("added_tokens_decoder", None)  # tokenizer.json has them
    names = {name: content_of(settings.pop(name, None)) for name in NAMED}
    return Parts(core, names, template, settings)


def content_of(token: Any) -> str | None:
    """A token in a configuration file is a string or an object with `content`."""
    content = token.get("content") if isinstance(token, dict) else token
    return None if content is None else str(content)


def _core(folder: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    """The rules; names that only convention tells are added to `settings`."""
    if not folder.is_dir():
        raise UserError("no such folder", where=folder)
    if not has_tokenizer(folder):
        _refuse_sentence_piece(folder)
        raise UserError(
            "there is no tokenizer beside the model", where=folder,
            expected=f"{FILE}, {WORD_PIECES}, or {VOCABULARY} with {MERGES}",
            advice="Copy the tokenizer's files from where the model comes from into this folder.",
        )  # fmt: skip
    if (folder / FILE).is_file():
        text = read_text(folder / FILE)
        try:
            return tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises plain Exception
            raise UserError("not a tokenizer file", where=folder / FILE, got=str(error)) from error
    build = _word_pieces if (folder / WORD_PIECES).is_file() else _byte_level
    try:
        return build(folder, settings)
    except TypeError as error:
        raise UserError("a setting of the tokenizer has the wrong type", where=folder, got=str(error)) from None


def _refuse_sentence_piece(folder: Path) -> None:
    only = next((name for name in SENTENCE_PIECE if (folder / name).is_file()), None)
    if only is not None:
        raise UserError(
            f"the tokenizer is only in {only}, the file of another library",
            where=folder,
            expected=FILE,
            advice="Load and save it once with transformers' AutoTokenizer, which writes tokenizer.json.",
        )


def _word_pieces(folder: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    """WordPiece (Wu et al. 2016, section 4.1) between [CLS] and [SEP], as in Devlin et al. 2019, section 3."""
    for name, token in BERT_NAMES.items():
        settings.setdefault(name, token)
    lines = read_text(folder / WORD_PIECES).split("\n")
    vocabulary = {line.rstrip(): id for id, line in enumerate(lines) if line.strip()}
    unknown, _ = _id_of("unk_token", settings, vocabulary, folder)
    core = tokenizers.Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=unknown, max_input_chars_per_word=100))
    core.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece(prefix="##")
    start, end = _id_of("cls_token", settings, vocabulary, folder), _id_of("sep_token", settings, vocabulary, folder)
    core.post_processor = processors.TemplateProcessing(
        single=f"{start[0]}:0 $A:0 {end[0]}:0",
        pair=f"{start[0]}:0 $A:0 {end[0]}:0 $B:1 {end[0]}:1",
        special_tokens=[start, end],
    )
    _add_special(core, settings)
    return core


def _byte_level(folder: Path, settings: dict[str, Any]) -> tokenizers.Tokenizer:
    """BPE over bytes; with a start and a separator of sequences also RoBERTa's `<s> a </s></s> b </s>`."""
    vocabulary = read_json(folder / VOCABULARY)
    if not isinstance(vocabulary, dict) or not all(type(id) is int for id in vocabulary.values()):
        raise UserError("not a vocabulary: tokens and their ids", where=folder / VOCABULARY)
    if len(set(vocabulary.values())) < len(vocabulary):
        raise UserError("two tokens of the vocabulary share an id", where=folder / VOCABULARY)
    lines = [line for line in read_text(folder / MERGES).split("\n") if line and not line.startswith("#version")]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    if not any(name in settings for name in ROBERTA_NAMES):
        settings |= _usual_names(vocabulary)
    try:
        core = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as error:  # the library raises plain Exception
        raise UserError("the vocabulary and its merges do not fit", where=folder, got=str(error)) from error
    prefix = settings.get("add_prefix_space", False)
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    core.decoder = decoders.ByteLevel()
    if "cls_token" in settings and "sep_token" in settings:
        start, end = (_id_of(name, settings, vocabulary, folder) for name in ("cls_token", "sep_token"))
        core.post_processor = processors.RobertaProcessing(end, start, True, prefix)
    elif settings.get("add_bos_token"):
        start = _id_of("bos_token", settings, vocabulary, folder)
        core.post_processor = processors.TemplateProcessing(single=f"{start[0]} $A", special_tokens=[start])
    _add_special(core, settings)
    return core


def _usual_names(vocabulary: Mapping[str, int]) -> dict[str, str]:
    """The special tokens of a vocabulary whose folder names none."""
    if all(token in vocabulary for token in ROBERTA_NAMES.values()):
        return ROBERTA_NAMES
    end = "<|endoftext|>"
    return dict.fromkeys(("bos_token", "eos_token", "unk_token"), end) if end in vocabulary else {}


def _id_of(name: str, settings: Mapping[str, Any], vocabulary: Mapping[str, int], folder: Path) -> tuple[str, int]:
    token = content_of(settings.get(name)) or ""
    if token not in vocabulary:
        raise UserError(f"the {name} '{token}' is not in the vocabulary", where=folder)
    return token, vocabulary[token]


def _add_special(core: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """The named tokens are never cut; where words carry their space, the mask stands for it as well."""
    spaced = isinstance(core.decoder, decoders.ByteLevel)
    names = sorted(
        (name for name in ROBERTA_NAMES if content_of(settings.get(name))),
        key=lambda name: core.token_to_id(content_of(settings[name]) or "") or 0,
    )
    for name in names:
        mask = name == "mask_token"
        token = AddedToken(content_of(settings[name]) or "", special=True, normalized=False, lstrip=mask and spaced)
        core.add_special_tokens([token])


def _default_template(template: Any) -> str | None:
    """Some files hold several templates by name."""
    if isinstance(template, list):
        by_name = {item["name"]: item["template"] for item in template}
        template = by_name.get("default", next(iter(by_name.values()), None))
    return None if template is None else str(template)
