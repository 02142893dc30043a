"""The text of a claim: learnt from, and held out; made once, as the first two stages of a recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.workflow.claims.spec import DataOptions
from fourfold.workflow.recipe import parse_recipe
from fourfold.workflow.runner import run_recipe

if TYPE_CHECKING:
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer

RECIPE = """name = "data"
[corpus.text]
sources = {sources}
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = {vocabulary_size}
"""


@dataclass(frozen=True, kw_only=True)
class ClaimData:
    """Tokens to learn from and tokens to be measured on."""

    tokenizer: Tokenizer
    train: TokenShards
    held_out: NDArray[np.int64]
    """The validation split as one stream, a start token before each document."""

    @property
    def start_id(self) -> int:
        return self.tokenizer.document_start_id or 0

    def rows(self, length: int, tokens: int) -> NDArray[np.int64]:
        """(N, length + 1) held-out windows side by side that predict about `tokens` tokens, evenly over the stream."""
        last = len(self.held_out) - length - 1
        if last < 0:
            raise UserError("too little held-out text", expected=f"more than {length} tokens", got=len(self.held_out))
        count = max(1, min(tokens // length, last // length + 1))
        starts = np.linspace(0, last, count).astype(np.int64)
        windows: NDArray[np.int64] = self.held_out[starts[:, None] + np.arange(length + 1)]
        return windows

    @cached_property
    def token_frequency_loss(self) -> float:
        """Nats a held-out token by the frequencies of the training text alone, one added to each count."""
        counts = np.bincount(self.train.tokens, minlength=self.tokenizer.vocabulary_size) + 1.0
        texts = self.held_out[self.held_out != self.start_id]
        return float(-np.log(counts[texts] / counts.sum()).mean())

    def describe(self) -> dict[str, Any]:
        return {
            "vocabulary_size": self.tokenizer.vocabulary_size,
            "train_tokens": self.train.token_count,
            "held_out_tokens": len(self.held_out),
            "token_frequency_loss": self.token_frequency_loss,
        }


def make_data(options: DataOptions, folder: Path) -> ClaimData:
    """Build the data in `folder`/data, or open what is there already."""
    from fourfold.pretraining.corpus import TokenShards
    from fourfold.tokenizers import Tokenizer

    text = RECIPE.format(sources=json.dumps(list(options.sources)), vocabulary_size=options.vocabulary_size)
    run_recipe(parse_recipe(text), folder)
    made = folder / "data" / "tokenizer.bpe"
    tokenizer = Tokenizer.load(made)
    held_out = TokenShards.open(made / "shards" / "validation")
    start = tokenizer.document_start_id or 0
    documents = [np.concatenate([[start], document]).astype(np.int64) for document in held_out]
    return ClaimData(
        tokenizer=tokenizer, train=TokenShards.open(made / "shards" / "train"), held_out=np.concatenate(documents)
    )
