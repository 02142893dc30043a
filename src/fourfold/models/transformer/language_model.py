"""A stack with what stands on it: the language-model head, a pooler, a classifier (`TransformerLM`).

Letters: B rows, T tokens, D hidden size, E width of the embedding, V vocabulary size, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fourfold.models.linear import Linear, project
from fourfold.models.packed import PackedEmbedding
from fourfold.models.protocols import State, Step, Trace
from fourfold.models.transformer.cache import Earlier, KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.feed_forward import ACTIVATIONS
from fourfold.models.transformer.fused import is_fused, run_fused
from fourfold.models.transformer.initialisation import initialise
from fourfold.models.transformer.model import Transformer
from fourfold.models.transformer.norms import make_norm
from fourfold.models.transformer.options import Head, Task
from fourfold.models.transformer.paged import PagedCache


class LanguageModelHead(nn.Module):
    """Hidden states to logits; a tied head is given the table of token vectors at every call."""

    def __init__(self, config: TransformerConfig, options: Head) -> None:
        super().__init__()
        size, width = config.hidden_size, config.embedding_size
        self.options = options
        transformed = options.transform is not None
        self.dense = Linear(size, width, bias=transformed) if transformed or width != size else None
        self.norm = make_norm(config.norm, width) if transformed else None
        self.projection = None if options.tied else Linear(width, config.vocabulary_size)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size)) if options.bias else None

    def forward(self, hidden: Tensor, embedding: nn.Module) -> Tensor:
        """(B, T, V) from (B, T, D)."""
        options = self.options
        if self.dense is not None:
            hidden = self.dense(hidden)
        if options.transform is not None:
            hidden = ACTIVATIONS[options.transform](hidden)
        if self.norm is not None:
            hidden = self.norm(hidden)
        if options.scale != 1.0:
            hidden = hidden * options.scale
        logits = project(hidden, embedding if self.projection is None else self.projection, self.bias)
        if options.softcap is not None:
            logits = torch.tanh(logits / options.softcap) * options.softcap
        return logits


class TaskHead(nn.Module):
    """Hidden states to class scores."""

    def __init__(self, config: TransformerConfig, options: Task) -> None:
        super().__init__()
        self.options = options
        size = config.hidden_size
        self.dense = Linear(size, size, bias=True) if options.transform is not None else None
        self.projection = Linear(size, options.classes, options.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) from (..., D)."""
        x = self.dropout(x)
        if self.dense is not None:
            assert self.options.transform is not None
            x = self.dropout(ACTIVATIONS[self.options.transform](self.dense(x)))
        scores: Tensor = self.projection(x)
        return scores


class TransformerLM(nn.Module):
    """A language model on one stack: causal and prefix decoders (`CausalLM`), encoders (`Encoder`)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = Transformer(config)
        self.head = None if config.head is None else LanguageModelHead(config, config.head)
        self.pooler = Linear(config.hidden_size, config.hidden_size, bias=True) if config.pooler else None
        self.task = None if config.task is None else TaskHead(config, config.task)

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def context(self) -> int:
        return self.config.context

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(B, T, V) logits after (B, T) ids that continue the state, which is advanced."""
        if state is None:
            state = self.new_state(ids.shape[0], self.context)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        """(B, T, D) after the final norm; the state is advanced."""
        assert state is None or isinstance(state, Earlier)
        if isinstance(state, PagedCache):
            fused = run_fused(self.stack, step, state)
            if fused is not None:
                return fused
        output: Tensor = self.stack(step, state)
        return output

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) from (..., D); ValueError without a language-model head."""
        if self.head is None:
            raise ValueError("the model has no language-model head")
        logits: Tensor = self.head(hidden, self.stack.embedding)
        return logits

    @property
    def batch_invariant(self) -> bool:
        """Whether a row has the same bits whatever else is in the call: plain steps on pages, no deltas; `logits`."""
        head = self.head
        if head is None or head.dense is not None or head.norm is not None:
            return False
        table = self.stack.embedding if head.projection is None else head.projection
        packed = isinstance(table, PackedEmbedding) or (isinstance(table, Linear) and table.packed is not None)
        return packed and is_fused(self.stack)

    def new_state(self, rows: int, capacity: int) -> KeyValueCache:
        """Room for so many rows of at most `capacity` tokens each."""
        return self.stack.new_cache(rows, capacity)

    def encode(self, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, T, D) the embeddings and the stream after each layer, the last one normed; padding on the right."""
        hidden: list[Tensor] = []
        lengths = None if mask is None else mask.sum(dim=1)
        last = self.hidden(Step(ids=ids, lengths=lengths, trace=Trace(hidden=hidden)))
        return (*hidden[:-1], last)

    def pooled(self, hidden: Tensor) -> Tensor:
        """(B, D) the first token's hidden state through the pooler, where there is one."""
        first = hidden[:, 0]
        return first if self.pooler is None else torch.tanh(self.pooler(first))

    def classify(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, C) scores of a sequence, or (B, T, C) of its tokens."""
        if self.task is None:
            raise ValueError("the model has no classifier")
        if self.task.options.kind == "sequence":
            if self.config.mask == "bidirectional":
                hidden = self.pooled(hidden)
            else:  # only the last token has read everything
                ends = torch.full((len(hidden),), hidden.shape[1]) if lengths is None else lengths
                hidden = hidden[torch.arange(len(hidden), device=hidden.device), ends.to(hidden.device) - 1]
        scores: Tensor = self.task(hidden)
        return scores

    def initialise(self, generator: torch.Generator) -> None:
        """Set the weights by the scheme of the configuration."""
        initialise(self, self.config, generator)
