"""The claims as an index: what is said, how to check it, on which models, and what a registered run found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fourfold.files import read_json
from fourfold.workflow.claims.catalogue import CATALOGUE, references, shipped_claims
from fourfold.workflow.claims.spec import Bilingual, Claim

REGISTERED = CATALOGUE / "registered.json"
"""What the runs among the docs found, for who has the library without them; `register` writes it."""

CHAPTERS = {
    "1": Bilingual(en="Four generations of language models", zh="语言模型的四代发展"),
    "2": Bilingual(en="Scaling and emergence", zh="扩展法则与涌现能力"),
    "3": Bilingual(en="Resources", zh="资源"),
    "4": Bilingual(en="Pre-training", zh="预训练"),
    "5": Bilingual(en="Adaptation", zh="适应微调"),
    "6": Bilingual(en="Utilization", zh="使用"),
    "7": Bilingual(en="Capacity and evaluation", zh="能力评估"),
}
"""Of the survey, by the first number of a section."""

VERDICTS_ZH = {"agrees": "一致", "disagrees": "不一致", "cannot tell at this size": "此规模下无法判断"}
OWN_MODELS = Bilingual(en="makes its own models", zh="自行训练或统计模型")


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """One claim of the index."""

    name: str
    chapter: str
    section: str
    title: Mapping[str, str]
    statement: Mapping[str, str]
    cites: tuple[str, ...]
    references: tuple[str, ...]
    """The same as short references, the survey first."""
    predictions: tuple[str, ...]
    """That decide."""
    command: str
    minutes: Mapping[str, float]
    """By size, on two cores."""
    models: str
    """Which it can run on."""
    registered: Mapping[str, Any] | None
    """Verdict, sentence, detectable advantage, size, seconds, processor and date of the registered run."""


def claim_index() -> list[IndexEntry]:
    """The claims that ship with the library, in the survey's order."""
    found = read_json(REGISTERED) if REGISTERED.is_file() else {}
    return [_entry(claim, found.get(claim.name)) for claim in shipped_claims()]


def _entry(claim: Claim, registered: Mapping[str, Any] | None) -> IndexEntry:
    return IndexEntry(
        name=claim.name,
        chapter=chapter_of(claim.section),
        section=claim.section,
        title=claim.title.model_dump(),
        statement=claim.statement.model_dump(),
        cites=claim.cites,
        references=tuple(short_reference(key) for key in claim.cites),
        predictions=tuple(expectation.says for expectation in claim.expect if expectation.decides),
        command=f"fourfold claim run {claim.name}",
        minutes={"quick": claim.quick.minutes, "full": claim.full.minutes},
        models=models_of(claim).en,
        registered=registered,
    )


def chapter_of(section: str) -> str:
    return section.partition(".")[0]


def models_of(claim: Claim) -> Bilingual:
    """Which models a claim can run on."""
    if claim.questions is None:
        return OWN_MODELS
    own = claim.model["reference"]
    return Bilingual(
        en=f"{own}, or --model hf:…, a folder, .gguf, openai:… with log-probabilities",
        zh=f"{own}，或 --model hf:…、文件夹、.gguf、能给出对数概率的 openai:…",
    )


def short_reference(key: str) -> str:
    """`Zhao et al. 2023`."""
    fields = references()[key]
    names = [author.partition(",")[0] for author in fields["author"].split(" and ")]
    short = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    return f"{short} {fields['year']}"
