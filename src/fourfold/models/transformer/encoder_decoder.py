"""Two stacks: an encoder of the source, a decoder that reads it (`EncoderDecoder`).

Letters: B rows, T decoder tokens, S source tokens, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.models.protocols import State, Step, Trace
from fourfold.models.transformer.attention import Source
from fourfold.models.transformer.cache import KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.initialisation import initialise
from fourfold.models.transformer.language_model import LanguageModelHead
from fourfold.models.transformer.model import Transformer
from fourfold.models.transformer.paged import PagedCache


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Encoder and decoder of one vocabulary and width; they share the embedding (T5, BART)."""

    encoder: TransformerConfig
    decoder: TransformerConfig
    decoder_start_id: int = 0
    """The id the decoder reads first."""
    empty_source: tuple[int, ...] = (1,)
    """Ids of an empty text, as the encoder reads it: texts are scored under it."""

    def __post_init__(self) -> None:
        encoder, decoder = self.encoder, self.decoder
        if encoder.mask != "bidirectional" or encoder.head is not None:
            raise UserError("the encoder must be bidirectional and without a head", got=f"mask {encoder.mask}")
        if not decoder.cross_attention or decoder.head is None:
            raise UserError("the decoder needs cross-attention and a head")
        for name in ("vocabulary_size", "hidden_size"):
            if getattr(encoder, name) != getattr(decoder, name):
                raise UserError(
                    f"encoder and decoder share the embedding, so their {name} must be one",
                    expected=getattr(encoder, name), got=getattr(decoder, name),
                )  # fmt: skip
        if encoder.embedding_size != encoder.hidden_size or decoder.embedding_size != decoder.hidden_size:
            raise UserError("a shared embedding is as wide as the model", expected=encoder.hidden_size)
        if not self.empty_source:
            raise UserError("an empty source has at least one id, its end", expected="empty_source with an end token")

    @property
    def vocabulary_size(self) -> int:
        return self.decoder.vocabulary_size

    @property
    def hidden_size(self) -> int:
        return self.decoder.hidden_size

    @property
    def context(self) -> int:
        """Of the decoder."""
        return self.decoder.context

    @property
    def layers(self) -> int:
        """Of both stacks."""
        return self.encoder.layers + self.decoder.layers

    @property
    def tied_embeddings(self) -> bool:
        return self.decoder.tied_embeddings


@dataclass
class EncoderDecoderState:
    """The source, read once, and the decoder's cache."""

    source: Source
    cache: KeyValueCache | PagedCache

    @property
    def lengths(self) -> Tensor:
        return self.cache.lengths

    def fork(self, rows: Tensor) -> Self:
        kept = self.source.kept or {}
        source = Source(
            hidden=self.source.hidden[rows],
            mask=None if self.source.mask is None else self.source.mask[rows],
            kept={layer: (keys[rows], values[rows]) for layer, (keys, values) in kept.items()},
        )
        return type(self)(source, self.cache.fork(rows))

    def truncate(self, lengths: Tensor) -> None:
        self.cache.truncate(lengths)

    def free(self) -> None:
        self.cache.free()
        if self.source.kept is not None:
            self.source.kept.clear()


class EncoderDecoder(nn.Module):
    """`CausalLM` on the decoder's side, given a source; `Encoder` on the other."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Transformer(config.encoder)
        self.decoder = Transformer(config.decoder)
        self.decoder.embedding = self.encoder.embedding
        assert config.decoder.head is not None
        self.head = LanguageModelHead(config.decoder, config.decoder.head)

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def context(self) -> int:
        return self.config.context

    @staticmethod
    def shared_names() -> dict[str, str]:
        """Names of the state that are other names of one tensor; files hold the second only."""
        return {"decoder.embedding.weight": "encoder.embedding.weight"}

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T, V) logits after (B, T) decoder ids that continue the state, which is advanced."""
        if state is None:
            state = self.new_state(ids.shape[0], self.context)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        """(B, T, D) of the decoder: under the step's source, the state's, or an empty one."""
        assert state is None or isinstance(state, EncoderDecoderState)
        if state is not None:
            output: Tensor = self.decoder(step, state.cache, state.source)
            return output
        ids, lengths = step.source, step.source_lengths
        if ids is None:
            ids, lengths = self._empty(step.ids.shape[0]), None
        trained: Tensor = self.decoder(step, None, self.read(ids, lengths, trace=step.trace))
        return trained

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, V) from (B, T, D) of the decoder."""
        logits: Tensor = self.head(hidden, self.encoder.embedding)
        return logits

    def read(
        self, ids: Tensor, lengths: Tensor | None = None, *, keep: bool = False, trace: Trace | None = None
    ) -> Source:
        """The encoder's output for (B, S) ids; `keep`: room for each layer's keys and values of it.

        Of `trace` only the routing is filled: the other lists belong to the decoder.
        """
        routing = None if trace is None else Trace(routing=trace.routing)
        hidden = self.encoder(Step(ids=ids, lengths=lengths, trace=routing))
        mask = None
        if lengths is not None:
            mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None])[:, None, None]
        return Source(hidden=hidden, mask=mask, kept={} if keep else None)

    def start(self, source: Tensor, source_lengths: Tensor | None, capacity: int) -> EncoderDecoderState:
        """A state that has read (B, S) source ids and no decoder token yet."""
        cache = self.decoder.new_cache(len(source), capacity)
        return EncoderDecoderState(self.read(source, source_lengths, keep=True), cache)

    def new_state(self, rows: int, capacity: int) -> EncoderDecoderState:
        """A state under an empty source."""
        return self.start(self._empty(rows), None, capacity)

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, S, D) the source's embeddings and the encoder's stream after each layer, the last one normed."""
        hidden: list[Tensor] = []
        lengths = None if mask is None else mask.sum(dim=1)
        last = self.encoder(Step(ids=ids, lengths=lengths, trace=Trace(hidden=hidden)))
        return (*hidden[:-1], last)

    def initialise(self, generator: torch.Generator) -> None:
        """Set the weights by the schemes of the two configurations."""
        initialise(self.encoder, self.config.encoder, generator)
        initialise(self.decoder, self.config.decoder, generator)
        initialise(self.head, self.config.decoder, generator)

    def _empty(self, rows: int) -> Tensor:
        ids = torch.tensor(self.config.empty_source, device=self.encoder.embedding.weight.device)
        return ids.expand(rows, -1)
