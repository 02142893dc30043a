"""The text of a claim: learnt from, and held out; made once, as the first stages of a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import hash_file, read_json, write_json
from fourfold.workflow.claims.spec import DataOptions, Part
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
TWO_TEXTS = """name = "data"
[corpus.text]
sources = {sources}
[corpus.second]
sources = {second}
[corpus.both]
sources = {both}
[tokenizer.bpe]
corpus = "corpus.both"
vocabulary_size = {vocabulary_size}
"""
"""One tokenizer for both texts, so that going over to the second is no new alphabet."""
FIRST, SECOND = "first", "second"


@dataclass(frozen=True, kw_only=True)
class ClaimText:
    """One text: tokens to learn from and tokens to be measured on."""

    train: TokenShards
    held_out: NDArray[np.int64]
    """The validation split as one stream, a start token before each document."""

    def rows(self, length: int, tokens: int) -> NDArray[np.int64]:
        """(N, length + 1) held-out windows side by side that predict about `tokens` tokens, evenly over the stream."""
        last = len(self.held_out) - length - 1
        if last < 0:
            raise UserError("too little held-out text", expected=f"more than {length} tokens", got=len(self.held_out))
        count = max(1, min(tokens // length, last // length + 1))
        starts = np.linspace(0, last, count).astype(np.int64)
        windows: NDArray[np.int64] = self.held_out[starts[:, None] + np.arange(length + 1)]
        return windows


@dataclass(frozen=True, kw_only=True)
class ClaimData:
    """The texts of a claim and the tokenizer learnt from them."""

    tokenizer: Tokenizer
    texts: dict[str, ClaimText]
    """`first`, and `second` where the claim has one."""

    @property
    def start_id(self) -> int:
        return self.tokenizer.document_start_id or 0

    @property
    def train(self) -> TokenShards:
        """Of the first text."""
        return self.texts[FIRST].train

    @property
    def held_out(self) -> NDArray[np.int64]:
        """Of the first text."""
        return self.texts[FIRST].held_out

    def rows(self, length: int, tokens: int) -> NDArray[np.int64]:
        """Held-out windows of the first text."""
        return self.texts[FIRST].rows(length, tokens)

    def part(self, part: Part, seed: int) -> TokenShards:
        """The documents a part stands for."""
        if part.text not in self.texts:
            raise UserError(f"a part is of the {part.text} text, which the claim does not have", where="parts")
        train = self.texts[part.text].train
        return train if part.tokens is None else drawn(train, part.tokens, seed)

    @cached_property
    def token_bytes(self) -> NDArray[np.int64]:
        """UTF-8 bytes of every token; special tokens have none."""
        special = self.tokenizer.special_ids
        lengths = [
            0 if token in special else len(self.tokenizer.token_bytes(token))
            for token in range(self.tokenizer.vocabulary_size)
        ]
        return np.asarray(lengths, np.int64)

    @cached_property
    def token_frequency_loss(self) -> float:
        """Nats a held-out token by the frequencies of the training text alone, one added to each count."""
        counts = np.bincount(self.train.tokens, minlength=self.tokenizer.vocabulary_size) + 1.0
        texts = self.held_out[self.held_out != self.start_id]
        return float(-np.log(counts[texts] / counts.sum()).mean())

    def describe(self) -> dict[str, Any]:
        second = self.texts.get(SECOND)
        return {
            "vocabulary_size": self.tokenizer.vocabulary_size,
            "train_tokens": self.train.token_count,
            "held_out_tokens": len(self.held_out),
            "token_frequency_loss": self.token_frequency_loss,
            **({} if second is None else {"second_train_tokens": second.train.token_count}),
        }


def drawn(shards: TokenShards, tokens: int, seed: int) -> TokenShards:
    """So many tokens of whole documents in an order of the seed, the last one cut."""
    from fourfold.pretraining.corpus import TokenShards

    if tokens > shards.token_count:
        raise UserError("a part is larger than its text", expected=f"at most {shards.token_count:,} tokens", got=tokens)
    pieces: list[NDArray[Any]] = []
    left = tokens
    for index in np.random.default_rng((seed, tokens)).permutation(len(shards)):
        piece = shards.documents(int(index))[:left]
        pieces.append(piece)
        left -= len(piece)
        if left == 0:
            break
    return TokenShards(np.concatenate(pieces), np.cumsum([len(piece) for piece in pieces]), {})


def stream_of(documents: Iterable[NDArray[Any]], start_id: int) -> NDArray[np.int64]:
    """One stream, a start token before each document."""
    return np.concatenate([np.concatenate([[start_id], document]).astype(np.int64) for document in documents])


def make_data(options: DataOptions, folder: Path) -> ClaimData:
    """Build the data in `folder`/data, or open what is there already."""
    from fourfold.tokenizers import Tokenizer

    listed = {"sources": options.sources, "second": options.second, "both": options.sources + options.second}
    written = {name: json.dumps(list(sources)) for name, sources in listed.items()}
    recipe = TWO_TEXTS if options.second else RECIPE
    run_recipe(parse_recipe(recipe.format(**written, vocabulary_size=options.vocabulary_size)), folder)
    made = folder / "data" / "tokenizer.bpe"
    tokenizer = Tokenizer.load(made)
    if not options.second:
        return ClaimData(tokenizer=tokenizer, texts={FIRST: _open(made / "shards", tokenizer)})
    texts = {}
    for name, corpus in ((FIRST, "text"), (SECOND, "second")):
        shards = folder / "data" / f"shards.{corpus}"
        _encode(folder / "data" / f"corpus.{corpus}", tokenizer, shards)
        texts[name] = _open(shards, tokenizer)
    return ClaimData(tokenizer=tokenizer, texts=texts)


def _encode(corpus: Path, tokenizer: Tokenizer, shards: Path) -> None:
    """Encode both splits, unless this tokenizer has done so from this corpus."""
    from fourfold.pretraining.corpus import encode_corpus

    done = shards / "key.json"
    key = {"tokenizer": tokenizer.hash, "corpus": hash_file(corpus / "train.jsonl")}
    if done.is_file() and read_json(done) == key:
        return
    for split in ("train", "validation"):
        encode_corpus(corpus, tokenizer, shards / split, split=split)
    write_json(done, key)


def _open(shards: Path, tokenizer: Tokenizer) -> ClaimText:
    from fourfold.pretraining.corpus import TokenShards

    held_out = stream_of(TokenShards.open(shards / "validation"), tokenizer.document_start_id or 0)
    return ClaimText(train=TokenShards.open(shards / "train"), held_out=held_out)
