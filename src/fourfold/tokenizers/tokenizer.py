"""Text to ids and back: one class over the `tokenizers` library."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, final

import tokenizers
from tokenizers import Encoding
from tokenizers.decoders import DecodeStream

from fourfold.errors import UserError
from fourfold.files import write_json, write_text
from fourfold.tokenizers.byte_level import ByteStream, bytes_of
from fourfold.tokenizers.chat import ControlTokens, assistant_mask, assistant_spans
from fourfold.tokenizers.chat_pieces import piece_rules
from fourfold.tokenizers.folders import NAMED, content_of, read_folder
from fourfold.tokenizers.templates import TemplateRenderer, Tools, render

_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TextStream(Protocol):
    """Decodes one token at a time."""

    def step(self, id: int) -> str:
        """The text that became certain with this token."""

    def finish(self) -> str:
        """What is left at the end."""


class Pair(NamedTuple):
    """Two texts as one sequence."""

    ids: list[int]
    segments: list[int]
    """0 for tokens of the first text, 1 for those of the second, as far as the tokenizer tells them apart."""


@final
class Tokenizer:
    """A vocabulary, its rules, its special tokens and its chat template.

    Special-token strings inside a text are never parsed as control tokens; control tokens come
    from the tokenizer's own rule (a start token, say) and from the chat template only.
    """

    def __init__(
        self,
        core: tokenizers.Tokenizer,
        *,
        bos: str | None = None,
        eos: str | None = None,
        pad: str | None = None,
        unk: str | None = None,
        chat_template: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._text = _without_limits(core)
        self._core = _core(self._text, parse_control=False)
        self._names = dict(zip(NAMED, (bos, eos, pad, unk), strict=True))
        self._extra = dict(extra or {})
        self.chat_template = chat_template
        self._added = self._core.get_added_tokens_decoder()
        self.special_ids = frozenset(id for id, token in self._added.items() if token.special)
        self.bos_id = self._id_of("bos_token")
        self.eos_id = self._id_of("eos_token")
        self.pad_id = self._id_of("pad_token")
        self.unk_id = self._id_of("unk_token")
        mask = content_of(self._extra.get("mask_token"))
        self.mask_id = None if mask is None else self._core.token_to_id(mask)
        self.document_start_id = self.eos_id if self.bos_id is None else self.bos_id
        vocabulary = self._core.get_vocab(with_added_tokens=True)
        self.vocabulary_size = max(vocabulary.values(), default=-1) + 1
        """Every id is below it."""
        self.hash = hashlib.sha256(self._text.encode()).hexdigest()
        """SHA-256 of the `tokenizer.json` that `save` writes."""
        # The decoder alone as JSON; the whole would take half a second for a large vocabulary.
        decoder = b"" if self._core.decoder is None else self._core.decoder.__getstate__()
        self.is_byte_level = b'"ByteLevel"' in decoder
        self._variants: dict[tuple[bool, bool], tokenizers.Tokenizer] = {}
        self._limited: dict[int, tokenizers.Tokenizer] = {}

    def _id_of(self, name: str) -> int | None:
        token = self._names[name]
        if token is None:
            return None
        id = self._core.token_to_id(token)
        if id is None:
            raise UserError(f"the {name} '{token}' is not in the vocabulary")
        return id

    # ---- text

    def encode(self, text: str) -> list[int]:
        """Ids by the tokenizer's own rule, which may add a start or end token."""
        return self._core.encode(_valid(text)).ids

    def encode_ordinary(self, text: str) -> list[int]:
        """Ids of the text alone; nothing is added."""
        return self._core.encode(_valid(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Iterable[str], *, limit: int | None = None) -> list[list[int]]:
        """`encode` of each text, on all cores, cut to `limit` tokens with what the rule adds."""
        core = self._core if limit is None else self._limited_core(limit)
        return [encoding.ids for encoding in core.encode_batch_fast([_valid(text) for text in texts])]

    def encode_batch_ordinary(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode_ordinary` of each text, on all cores."""
        batch = [_valid(text) for text in texts]
        return [encoding.ids for encoding in self._core.encode_batch_fast(batch, add_special_tokens=False)]

    def encode_pair(self, first: str, second: str, *, limit: int | None = None) -> Pair:
        """Two texts as one sequence by the tokenizer's rule for pairs; beyond `limit` tokens the longer is cut."""
        core = self._core if limit is None else self._limited_core(limit)
        encoding = core.encode(_valid(first), _valid(second))
        return Pair(encoding.ids, encoding.type_ids)

    def encode_masked(self, text: str) -> list[int]:
        """`encode` of a text in which the mask token, and no other special token, is spelt as such."""
        if self.mask_id is None:
            raise UserError("this tokenizer has no mask token", advice="Masks are filled by models such as BERT.")
        return self._masking.encode(_valid(text)).ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        return self._core.decode(list(ids), skip_special_tokens=skip_special)

    def decode_stream(self, *, skip_special: bool = True) -> TextStream:
        """Decodes as tokens arrive: all steps and `finish` together are `decode` of the same ids."""
        if self.is_byte_level:
            return ByteStream(self.token_bytes, self.special_ids if skip_special else frozenset())
        return _LibraryStream(self._core, skip_special)

    def token_bytes(self, id: int) -> bytes:
        """The raw bytes a token stands for; a special token is its own name."""
        token = self._core.id_to_token(id)
        if token is None:
            raise UserError("no such token id", expected=f"0 to {self.vocabulary_size - 1}", got=id)
        if id in self._added:
            return self._added[id].content.encode()
        if self.is_byte_level:
            return bytes_of(token)
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes.fromhex(byte[1]) if byte else token.replace("\u2581", " ").encode()

    # ---- conversations

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool = True,
        tools: Tools | None = None,
        renderer: TemplateRenderer = render,
    ) -> str:
        """The conversation as text, by the chat template."""
        if self.chat_template is None:
            raise UserError(
                "this model has no chat template", advice="Use plain generation, or tune it on conversations first."
            )
        tokens = {name: token for name, token in {**self._extra, **self._names}.items() if _is_token(name, token)}
        return renderer(self.chat_template, messages, generation_prompt=generation_prompt, tokens=tokens, tools=tools)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool = True,
        tools: Tools | None = None,
        renderer: TemplateRenderer = render,
    ) -> list[int]:
        """Ids of the rendered conversation; control tokens spelt inside a message or a tool stay text."""
        (*safe, described), literals = self._control.hide([*messages, {"tools": tools}])
        text = self.render_chat(safe, generation_prompt=generation_prompt, tools=described["tools"], renderer=renderer)
        return [token.id for token in self._control.encode(_valid(text), literals, self._encode_piece)]

    def encode_chat_with_mask(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:
        """Ids of the conversation, and True on what the assistant wrote with its end-of-turn token."""
        safe, literals = self._control.hide(messages)
        tokens = self._control.encode(
            _valid(self.render_chat(safe, generation_prompt=False)), literals, self._encode_piece
        )
        spans = assistant_spans(safe, literals, self.render_chat)
        return [token.id for token in tokens], assistant_mask(tokens, spans)

    @cached_property
    def end_of_turn_id(self) -> int | None:
        """The control token that ends an assistant's turn in the chat template, else the end token."""
        if self.chat_template is None:
            return self.eos_id
        turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        ids, mask = self.encode_chat_with_mask(turn)
        last = [id for id, written in zip(ids, mask, strict=True) if written][-1]
        return last if last in self.special_ids else self.eos_id

    @cached_property
    def _masking(self) -> tokenizers.Tokenizer:
        """The rules with a mask token that is an ordinary added token, so that a text may spell it."""
        values = json.loads(self._text)
        values["added_tokens"] = [
            token | {"special": token["special"] and token["id"] != self.mask_id} for token in values["added_tokens"]
        ]
        return _core(json.dumps(values), parse_control=False)

    def _limited_core(self, limit: int) -> tokenizers.Tokenizer:
        if limit not in self._limited:
            core = _core(self._text, parse_control=False)
            core.enable_truncation(limit)
            self._limited[limit] = core
        return self._limited[limit]

    @cached_property
    def _control(self) -> ControlTokens:
        return ControlTokens({id: token for id, token in self._added.items() if token.special})

    def _encode_piece(self, text: str, *, parse_control: bool, first: bool) -> Encoding:
        key = (parse_control, first)
        if key not in self._variants:
            self._variants[key] = _core(piece_rules(self._text, first=first), parse_control=parse_control)
        return self._variants[key].encode(text, add_special_tokens=False)

    # ---- files

    def core_copy(self) -> tokenizers.Tokenizer:
        """A copy of the `tokenizers` object underneath, to build another tokenizer from."""
        return tokenizers.Tokenizer.from_str(self._text)

    def with_core(self, core: tokenizers.Tokenizer) -> Tokenizer:
        """Other rules under the same names, chat template and settings."""
        bos, eos, pad, unk = (self._names[name] for name in NAMED)
        return Tokenizer(core, bos=bos, eos=eos, pad=pad, unk=unk, chat_template=self.chat_template, extra=self._extra)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`, as Hugging Face reads them."""
        write_text(folder / "tokenizer.json", self._text)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        config |= self._extra | {name: token for name, token in self._names.items() if token is not None}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        write_json(folder / "tokenizer_config.json", config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder in the layout of Hugging Face."""
        core, names, template, extra = read_folder(Path(folder))
        bos, eos, pad, unk = names.values()
        return cls(core, bos=bos, eos=eos, pad=pad, unk=unk, chat_template=template, extra=extra)


class _LibraryStream:
    """Incremental decoding of tokens that are not byte-level."""

    def __init__(self, core: tokenizers.Tokenizer, skip_special: bool) -> None:
        self._core = core
        self._stream = DecodeStream(skip_special_tokens=skip_special)

    def step(self, id: int) -> str:
        return self._stream.step(self._core, id) or ""

    def finish(self) -> str:
        return ""


def _valid(text: str) -> str:
    """Lone surrogates, which JSON can spell and UTF-8 can not, become U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _without_limits(core: tokenizers.Tokenizer) -> str:
    """The tokenizer as JSON, without the padding and truncation some files carry."""
    if core.padding is not None or core.truncation is not None:
        core = tokenizers.Tokenizer.from_str(core.to_str())
        core.no_padding()
        core.no_truncation()
    return core.to_str(pretty=True)  # the library's own printer: Python's takes seconds for a large vocabulary


def _core(text: str, *, parse_control: bool) -> tokenizers.Tokenizer:
    core = tokenizers.Tokenizer.from_str(text)
    core.encode_special_tokens = not parse_control
    return core


def _is_token(name: str, value: object) -> bool:
    return name.endswith("_token") and isinstance(value, str)
