"""`[score.name]`: bits per byte of several models on the same fixed samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fourfold.errors import UserError
from fourfold.files import read_text
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use

if TYPE_CHECKING:
    from fourfold.workflow.context import StageContext

TRAIN = "train_"
MODEL_KINDS = ("pretrain", "tune")


class ScoreOptions(Options):
    """Which models read which samples."""

    models: tuple[str, ...] = Field(min_length=1)
    """Stages of this recipe or model references."""
    corpus: str
    """The corpus whose fixed samples are scored."""
    splits: tuple[Literal["test", "train"], ...] = ("test", "train")
    """Held-out samples, and samples of the same size of the text the models were trained on."""
    groups: tuple[str, ...] = ()
    """Groups of documents, such as `prose`; without it, all."""
    bytes: int | None = Field(default=None, ge=256)
    """Only so many bytes of each sample."""


def uses(options: ScoreOptions) -> list[Use]:
    models = [Use("models", model, MODEL_KINDS, outside=True) for model in options.models]
    return [Use("corpus", options.corpus, ("corpus",)), *models]


def run(context: StageContext, options: ScoreOptions) -> None:
    from fourfold.evaluation import score_texts

    cards = {reference: context.models.card(reference) for reference in options.models}
    results = score_texts(
        context.models.mapping(options.models),
        find_samples(context.path(options.corpus) / "samples", options),
        context.folder,
        labels={reference: card["label"] for reference, card in cards.items()},
        generations={reference: card["generation"] for reference, card in cards.items()},
        seed=context.seed,
    )
    for row in results["rows"]:
        say(f"{row['label']} on {row['sample']} ({row['split']}): {row['bits_per_byte']:.3f} bits per byte")


def find_samples(folder: Path, options: ScoreOptions) -> dict[str, str]:
    """Texts by the name of their file: `prose` is held out, `train_prose` was trained on."""
    found = {}
    for split in options.splits:
        for path in sorted(folder.glob("*.txt")):
            group = path.stem.removeprefix(TRAIN)
            is_train = path.stem.startswith(TRAIN)
            if is_train == (split == "train") and (not options.groups or group in options.groups):
                found[path.stem] = read_text(path).encode()[: options.bytes].decode(errors="ignore")
    missing = sorted(set(options.groups) - {name.removeprefix(TRAIN) for name in found})
    if missing or not found:
        raise UserError(f"the corpus has no sample {', '.join(missing)}".rstrip(), where=folder)
    return found


KIND = StageKind(
    name="score",
    options=ScoreOptions,
    uses=uses,
    run=run,
    code=("evaluation", "inference", "models", "tokenizers", "measures"),
)
