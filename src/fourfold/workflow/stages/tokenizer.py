"""`[tokenizer.name]`: learn a vocabulary from the train split and write the text as ids."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.files import read_text, write_json
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use

if TYPE_CHECKING:
    from fourfold.tokenizers import Tokenizer
    from fourfold.workflow.context import StageContext

EXAMPLE_CHARACTERS = 120


class TokenizerOptions(Options):
    """How the vocabulary is made."""

    corpus: str
    """The corpus it is learnt from."""
    algorithm: Literal["byte-bpe"] = "byte-bpe"
    """Byte-level byte-pair encoding: any text can be written, nothing is unknown."""
    vocabulary_size: int = Field(default=8192, ge=260, le=262144)
    """Tokens, the 256 bytes and the special tokens included."""
    reserve: tuple[Literal["mask", "sentinels", "modes", "infilling"], ...] = ()
    """Tokens for objectives: `mask` for masked and denoising, `sentinels` (100) for span corruption, these and
    `modes` for the mixture, `infilling` for filling in the middle."""


def uses(options: TokenizerOptions) -> list[Use]:
    return [Use("corpus", options.corpus, ("corpus",))]


def run(context: StageContext, options: TokenizerOptions) -> None:
    from fourfold.pretraining.corpus import encode_corpus, read_documents
    from fourfold.pretraining.objectives import RESERVED
    from fourfold.tokenizers import CHAT_TOKENS, train_byte_bpe

    began = time.perf_counter()
    train = context.output_of(options.corpus, "train.jsonl")
    reserved = [name for need in dict.fromkeys(options.reserve) for name in RESERVED[need]]
    tokenizer = train_byte_bpe(
        (document.text for document in read_documents(train)),
        options.vocabulary_size,
        special_tokens=(*CHAT_TOKENS, *reserved),
    )
    tokenizer.save(context.folder)
    for split in ("train", "validation"):
        context.ledger.save()
        encode_corpus(context.path(options.corpus), tokenizer, context.folder / "shards" / split, split=split)
    card = describe(tokenizer, context, options)
    write_json(context.folder / "card.json", {**card, "seconds": round(time.perf_counter() - began, 3)})
    say(", ".join(f"{name}: {value:.2f} bytes a token" for name, value in card["bytes_per_token"].items()))


def describe(tokenizer: Tokenizer, context: StageContext, options: TokenizerOptions) -> dict[str, Any]:
    """How well it packs each held-out sample, and how it cuts the first line of each."""
    by_bytes, by_characters, examples = {}, {}, {}
    for path in sorted((context.path(options.corpus) / "samples").glob("*.txt")):
        if path.stem.startswith("train_"):
            continue
        text = read_text(path)
        tokens = max(1, len(tokenizer.encode_ordinary(text)))
        by_bytes[path.stem] = len(text.encode()) / tokens
        by_characters[path.stem] = len(text) / tokens
        start = text.strip()[:EXAMPLE_CHARACTERS]
        examples[path.stem] = [tokenizer.decode([id]) for id in tokenizer.encode_ordinary(start)]
    return {
        "vocabulary_size": tokenizer.vocabulary_size,
        "algorithm": options.algorithm,
        "corpus": options.corpus,
        "bytes_per_token": by_bytes,
        "characters_per_token": by_characters,
        "examples": examples,
    }


KIND = StageKind(
    name="tokenizer", options=TokenizerOptions, uses=uses, run=run, code=("tokenizers", "pretraining.corpus")
)
