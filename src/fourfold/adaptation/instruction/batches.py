"""Conversations as training batches: only what the assistant wrote has labels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from fourfold.errors import UserError
from fourfold.inference import Message
from fourfold.progress import say
from fourfold.tokenizers import Tokenizer
from fourfold.training import IGNORED, LabelledBatch

POOL = 16
"""Batches whose rows are drawn together and then sorted by length: little padding, still random."""


class Example(NamedTuple):
    """One row: inputs and the target of each."""

    ids: list[int]
    labels: list[int]
    cut: bool
    """True when a wanted token did not fit the context."""

    @property
    def wanted(self) -> int:
        return sum(label != IGNORED for label in self.labels)


def encode_example(ids: Sequence[int], wanted: Sequence[bool], context: int) -> Example:
    """Shift ids by one; a label stands where the next token is wanted. The end is cut to the context."""
    labels = [id if want else IGNORED for id, want in zip(ids[1:], wanted[1:], strict=True)]
    return Example(list(ids[:-1])[:context], labels[:context], any(wanted[context + 1 :]))


def pad_examples(examples: Sequence[Example], pad_id: int) -> LabelledBatch:
    """Rows padded on the right to the longest."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), pad_id)
    labels = torch.full((len(examples), longest), IGNORED)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        labels[row, : len(example.labels)] = torch.tensor(example.labels)
    return LabelledBatch(ids, labels, torch.tensor([len(example.ids) for example in examples]))


@dataclass(frozen=True)
class EpochOrder:
    """Which examples a step sees: every example once an epoch, rows of like length together."""

    lengths: tuple[int, ...]
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def at(self, step: int) -> list[int]:
        """The examples of that step, a pure function of (seed, step)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return _epoch(self, epoch)[place]


@functools.lru_cache(maxsize=8)
def _epoch(order: EpochOrder, epoch: int) -> list[list[int]]:
    generator = np.random.default_rng([order.seed, epoch])
    shuffled = generator.permutation(len(order.lengths)).tolist()
    pool = order.batch_size * POOL
    batches: list[list[int]] = []
    for start in range(0, len(shuffled), pool):
        drawn = sorted(shuffled[start : start + pool], key=lambda index: order.lengths[index])
        batches += [drawn[first : first + order.batch_size] for first in range(0, len(drawn), order.batch_size)]
    return [batches[index] for index in generator.permutation(len(batches))]


@dataclass(frozen=True)
class ConversationBatches:
    """A BatchSource over encoded conversations."""

    examples: Sequence[Example]
    order: EpochOrder
    pad_id: int
    micro_batch: int

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def at(self, step: int) -> list[LabelledBatch]:
        rows = [self.examples[index] for index in self.order.at(step)]
        parts = [rows[start : start + self.micro_batch] for start in range(0, len(rows), self.micro_batch)]
        return [pad_examples(part, self.pad_id) for part in parts]


def conversation_batches(
    conversations: Sequence[Sequence[Message]],
    tokenizer: Tokenizer,
    batch_size: int,
    context: int,
    seed: int = 0,
    micro_batch: int | None = None,
) -> ConversationBatches:
    """Batches of whole conversations with labels on the assistant's words and its end of turn.

    Answers that the context cuts are counted and said; a conversation without a single wanted
    token left is dropped. `micro_batch` rows go through the model at a time.
    """
    if batch_size < 1:
        raise UserError("a batch needs rows", expected="1 or more", got=batch_size)
    encoded = [encode_example(*tokenizer.encode_chat_with_mask(messages), context) for messages in conversations]
    kept = [example for example in encoded if example.wanted]
    cut = sum(example.cut for example in encoded)
    if cut:
        say(f"the context of {context} tokens cuts {cut} of {len(encoded)} conversations")
    if len(kept) < len(encoded):
        say(f"dropped {len(encoded) - len(kept)} conversations without an answer inside the context")
    if not kept:
        raise UserError(
            "no conversation has an answer to learn from",
            got=f"{len(conversations)} conversations",
            advice="Check that roles are 'user' and 'assistant', or raise the context.",
        )
    order = EpochOrder(tuple(len(example.ids) for example in kept), batch_size, seed)
    return ConversationBatches(kept, order, pad_token(tokenizer), micro_batch or batch_size)


def pad_token(tokenizer: Tokenizer) -> int:
    """Any id will do where nothing looks; the tokenizer's own if it has one."""
    return tokenizer.pad_id if tokenizer.pad_id is not None else 0
