"""How texts become the ids a model reads: decoders continue them, prefix decoders see them whole,
encoder-decoders read them on one side and write on the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, final, runtime_checkable

from fourfold.errors import UserError
from fourfold.inference.scoring import Span
from fourfold.models import CausalLM, EncoderDecoder, TransformerLM


class Prompt(NamedTuple):
    """What a model has read before it writes."""

    ids: list[int]
    source: list[int] | None = None
    """Of an encoder-decoder, whose `ids` only start the answer."""
    whole: bool = False
    """Every token of the prompt sees every other (prefix decoders)."""

    @property
    def tokens(self) -> int:
        """How many the user gave."""
        return len(self.ids if self.source is None else self.source)


class Encodes(Protocol):
    """What feeding needs of a tokenizer."""

    @property
    def document_start_id(self) -> int | None: ...
    def encode(self, text: str) -> list[int]: ...


@runtime_checkable
class EncodesMany(Protocol):
    """A tokenizer that takes many texts at once, on all cores."""

    def encode_batch(self, texts: Iterable[str], /) -> list[list[int]]: ...


def encoded(tokenizer: Encodes, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text."""
    if isinstance(tokenizer, EncodesMany):
        return tokenizer.encode_batch(texts)
    return [tokenizer.encode(text) for text in texts]


class Feed(Protocol):
    """Texts as a model reads them."""

    def prompt(self, ids: list[int]) -> Prompt:
        """To be continued or answered."""

    def texts(self, texts: Sequence[str]) -> list[Span]:
        """To be scored whole, each."""

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Span]:
        """Contexts with continuations, to be scored from where the continuation begins."""


def feed_for(
    module: CausalLM, tokenizer: Encodes, name: str, text_end_id: int | None, answer_start: Sequence[int]
) -> Feed:
    """The way this kind of model is fed; UserError for a model that cannot write."""
    if isinstance(module, EncoderDecoder):
        return SequenceFeed(module, tokenizer, answer_start)
    mask = module.config.mask if isinstance(module, TransformerLM) else "causal"
    if mask == "bidirectional":
        raise UserError(
            "a bidirectional model sees every token at once, so it neither writes nor scores a text from left to right",
            where=name,
            advice="Use TextEncoder: embed, fill_mask, pseudo_log_likelihood or classify.",
        )
    return DecoderFeed(module, tokenizer, name, text_end_id, whole=mask == "prefix")


@final
class DecoderFeed:
    """Texts of a model of one side. They begin at the document start and end at `text_end_id`, if there is one."""

    def __init__(
        self, module: CausalLM, tokenizer: Encodes, name: str, text_end_id: int | None, *, whole: bool
    ) -> None:
        self.module, self.tokenizer, self.name, self.whole = module, tokenizer, name, whole
        self.end = [] if text_end_id is None else [text_end_id]

    def prompt(self, ids: list[int]) -> Prompt:
        return Prompt(ids or [self.start_id], whole=self.whole)

    def texts(self, texts: Sequence[str]) -> list[Span]:
        start = self.start_id
        return [Span(ids=[start, *ids, *self.end], start=1) for ids in encoded(self.tokenizer, texts)]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Span]:
        """Both are encoded together and split at the length of the encoded context; trailing spaces of the
        context move to the continuation; an empty context is the document start."""
        stems = [context.rstrip() for context, _ in pairs]
        wholes = [context + continuation for context, continuation in pairs]
        texts = list({*stems, *wholes} - {""})
        ids = dict(zip(texts, encoded(self.tokenizer, texts), strict=True))
        return [
            self._pair(ids[stem] if stem else [], ids.get(whole, []), whole[len(stem) :])
            for stem, whole in zip(stems, wholes, strict=True)
        ]

    def _pair(self, stem: list[int], whole: list[int], continuation: str) -> Span:
        start = len(stem)
        if not stem:
            whole, start = [self.start_id, *whole], 1
        if start >= len(whole):
            raise UserError("the continuation has no tokens of its own", got=repr(continuation[:40]))
        limit = self.module.context
        if limit is not None and len(whole) - 1 > limit:
            cut = len(whole) - 1 - limit
            whole, start = whole[cut:], max(1, start - cut)
        return Span(ids=whole, start=start, prefix=start if self.whole else 0)

    @property
    def start_id(self) -> int:
        start = self.tokenizer.document_start_id
        if start is None:
            raise UserError(
                "the tokenizer has neither a BOS nor an EOS token, so no text has a start to be scored from",
                where=self.name,
                advice="Name one in tokenizer_config.json.",
            )
        return start


@final
class SequenceFeed:
    """Texts of an encoder-decoder: prompts and contexts are the source, the decoder writes or scores the rest.

    The tokenizer's own rule ends both sides. `answer_start` are ids every answer begins with (BART's summaries).
    """

    def __init__(self, module: EncoderDecoder, tokenizer: Encodes, answer_start: Sequence[int]) -> None:
        self.config, self.tokenizer = module.config, tokenizer
        self.start = [module.config.decoder_start_id]
        self.answer_start = list(answer_start)

    def prompt(self, ids: list[int]) -> Prompt:
        return Prompt([*self.start, *self.answer_start], source=self._source(ids))

    def texts(self, texts: Sequence[str]) -> list[Span]:
        source = self._source([])
        return [Span(ids=[*self.start, *ids], start=1, source=source) for ids in encoded(self.tokenizer, texts)]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Span]:
        return [self._pair(context, continuation) for context, continuation in pairs]

    def _pair(self, context: str, continuation: str) -> Span:
        target, source = self.tokenizer.encode(continuation), self._source(self.tokenizer.encode(context))
        if len(target) > self.config.context:
            raise UserError(
                "the continuation is longer than the decoder's context",
                expected=f"at most {self.config.context} tokens", got=len(target),
            )  # fmt: skip
        return Span(ids=[*self.start, *target], start=1, source=source)

    def _source(self, ids: list[int]) -> list[int]:
        limit = self.config.encoder.context
        if len(ids) > limit:
            raise UserError(
                "the prompt does not fit the encoder's context",
                expected=f"at most {limit} tokens", got=len(ids), advice="Shorten the prompt.",
            )  # fmt: skip
        return ids or list(self.config.empty_source)
