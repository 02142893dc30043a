"""A model as the doctor has it before it: what could be opened, each part by itself.

A damaged model is the normal case, so every part may be absent; the checks look at what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import tokenizers

from fourfold.models import EncoderDecoderConfig, TransformerConfig
from fourfold.models.files import Described, GGUFModel
from fourfold.tokenizers import Tokenizer
from fourfold.workflow.doctor.findings import Finding
from fourfold.workflow.doctor.tensors import Stored, Tensors, find_embedding, find_head

Form = Literal["folder", "gguf", "adapter", "ngram", "arpa"]
Direction = Literal["decoder", "encoder", "encoder-decoder"]


@dataclass(kw_only=True)
class Model:
    """What was opened."""

    reference: str
    place: Path
    """The file, or the folder that holds the weights."""
    form: Form
    deep: bool = False
    """Every weight is looked at and every file hashed, however long it takes."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """`config.json`, `adapter_config.json`, or the metadata of a GGUF file."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """`tokenizer_config.json` over `special_tokens_map.json`."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """`tokenizer.json` as written."""
    tensors: Tensors | None = None
    described: Described | None = None
    gguf: GGUFModel | None = None
    tokenizer: Tokenizer | None = None
    base: Model | None = None
    """Of an adapter."""
    troubles: list[Finding] = field(default_factory=list)
    """What went wrong while opening."""

    @cached_property
    def core(self) -> tokenizers.Tokenizer:
        """The library's tokenizer, which finds special tokens in a text; only where there is a tokenizer."""
        assert self.tokenizer is not None
        return self.tokenizer.core_copy()

    @cached_property
    def names(self) -> Mapping[int, str]:
        """Tokens by id, as the vocabulary writes them."""
        return {id: name for name, id in self.core.get_vocab(with_added_tokens=True).items()}

    @property
    def entries(self) -> Mapping[str, Stored]:
        return self.tensors.entries if self.tensors is not None else {}

    @property
    def weights(self) -> Model:
        """Itself, or the base of an adapter: where embedding and head are."""
        return self.base or self

    @property
    def embedding(self) -> str | None:
        return find_embedding(self.entries)

    @property
    def head(self) -> str | None:
        return find_head(self.entries)

    @property
    def rows(self) -> int | None:
        """Of the embedding."""
        return None if self.embedding is None else self.entries[self.embedding].shape[0]

    @property
    def kind(self) -> str:
        """The name of the architecture, as the file says it."""
        key = "general.architecture" if self.form == "gguf" else "model_type"
        return str(self.config.get(key, ""))

    @property
    def direction(self) -> Direction:
        """What it reads; a model whose configuration cannot be read is told by the name of its class."""
        config = self.described.config if self.described is not None else None
        if isinstance(config, EncoderDecoderConfig):
            return "encoder-decoder"
        if isinstance(config, TransformerConfig):
            return "encoder" if config.mask == "bidirectional" else "decoder"
        named = self.config.get("architectures")
        name = str(named[0]) if isinstance(named, list) and named else ""
        if self.config.get("is_encoder_decoder") is True:
            return "encoder-decoder"
        return "encoder" if name.endswith(("ForMaskedLM", "Classification")) else "decoder"

    @property
    def context(self) -> int | None:
        """Tokens of the longest text, where the configuration says it."""
        config = self.described.config if self.described is not None else None
        return getattr(config, "context", None)

    def file(self, name: str) -> Path:
        return self.place / name

    def has(self, name: str) -> bool:
        return self.form != "gguf" and self.file(name).is_file()

    def where(self, name: str) -> str:
        """A file as findings name it."""
        return self.place.name if self.form in ("gguf", "arpa") else name


def ids_of(value: Any) -> Sequence[int]:
    """Token ids as configurations hold them: one, several, none."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if type(item) is int]
