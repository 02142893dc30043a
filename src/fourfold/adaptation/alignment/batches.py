"""Preference records as batches: chosen rows above, rejected rows below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from fourfold.adaptation.instruction import (
    EpochOrder,
    Example,
    as_messages,
    encode_example,
    pad_examples,
    pad_token,
    read_records,
)
from fourfold.errors import UserError
from fourfold.inference import Message
from fourfold.progress import say
from fourfold.tokenizers import Tokenizer


class Preference(TypedDict):
    """One judgement; each side is text or messages, as in the file format."""

    prompt: str | list[Message]
    chosen: str | list[Message]
    rejected: str | list[Message]


@dataclass(frozen=True)
class PreferenceBatch:
    """P pairs in 2P rows: row i is chosen over row P + i. Labels are on the answers only."""

    ids: Tensor
    labels: Tensor
    lengths: Tensor

    @property
    def pairs(self) -> int:
        return len(self.ids) // 2

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    def to(self, device: torch.device) -> PreferenceBatch:
        return PreferenceBatch(self.ids.to(device), self.labels.to(device), self.lengths.to(device))


@dataclass(frozen=True)
class PreferenceBatches:
    """A BatchSource of preference pairs."""

    examples: Sequence[tuple[Example, Example]]
    order: EpochOrder
    pad_id: int
    micro_batch: int

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def at(self, step: int) -> list[PreferenceBatch]:
        pairs = [self.examples[index] for index in self.order.at(step)]
        parts = [pairs[start : start + self.micro_batch] for start in range(0, len(pairs), self.micro_batch)]
        return [self._batch(part) for part in parts]

    def _batch(self, pairs: Sequence[tuple[Example, Example]]) -> PreferenceBatch:
        rows = pad_examples([chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs], self.pad_id)
        assert rows.lengths is not None
        return PreferenceBatch(rows.ids, rows.labels, rows.lengths)


def preference_batches(
    preferences: Sequence[Preference],
    tokenizer: Tokenizer,
    batch_size: int,
    context: int,
    seed: int = 0,
    micro_batch: int | None = None,
) -> PreferenceBatches:
    """Batches of `batch_size` pairs, labels on the final answers with their end of turn.

    A pair is dropped, and that is said, when a side has no answer token inside the context
    or when nothing of the difference is left.
    """
    encoded = [
        (_encode(record["prompt"], record["chosen"], tokenizer, context),
         _encode(record["prompt"], record["rejected"], tokenizer, context))
        for record in preferences
    ]  # fmt: skip
    kept = [pair for pair in encoded if pair[0].wanted and pair[1].wanted and pair[0][:2] != pair[1][:2]]
    if len(kept) < len(encoded):
        say(f"dropped {len(encoded) - len(kept)} of {len(encoded)} pairs that do not differ inside the context")
    if not kept:
        raise UserError("no preference pair to learn from", got=f"{len(preferences)} records")
    lengths = tuple(max(len(chosen.ids), len(rejected.ids)) for chosen, rejected in kept)
    return PreferenceBatches(
        kept, EpochOrder(lengths, batch_size, seed), pad_token(tokenizer), micro_batch or batch_size
    )


def read_preferences(path: Path, *, strict: bool = False) -> list[Preference]:
    """Every pair of a JSONL file; bad lines are skipped and named."""
    return read_records(path, parse_preference, strict=strict)


def parse_preference(record: Any) -> Preference:
    """One record as a pair; a ValueError says what is wrong."""
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    missing = [key for key in ("prompt", "chosen", "rejected") if key not in record]
    if missing:
        raise ValueError(f"no '{missing[0]}'")
    sides = {
        key: value if isinstance(value, str) else as_messages(value, "role", "content")
        for key, value in record.items()
        if key in ("prompt", "chosen", "rejected")
    }
    return Preference(prompt=sides["prompt"], chosen=sides["chosen"], rejected=sides["rejected"])


def _encode(prompt: str | list[Message], answer: str | list[Message], tokenizer: Tokenizer, context: int) -> Example:
    before: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    after: list[Message] = [{"role": "assistant", "content": answer}] if isinstance(answer, str) else list(answer)
    ids, wanted = tokenizer.encode_chat_with_mask([*before, *after])
    start = len(tokenizer.encode_chat(before, generation_prompt=True))
    return encode_example(ids, [want and index >= start for index, want in enumerate(wanted)], context)
