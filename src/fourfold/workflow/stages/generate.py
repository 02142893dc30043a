"""`[generate.name]`: the same openings continued by several models, side by side."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from pydantic import Field

from fourfold.errors import UserError
from fourfold.files import append_jsonl, write_json
from fourfold.progress import task
from fourfold.workflow.kinds import Options, StageKind, Use
from fourfold.workflow.partial import read_partial

if TYPE_CHECKING:
    from fourfold.workflow.context import StageContext


class Opening(Options):
    """The beginning of a text."""

    text: str = Field(min_length=1)
    """What the models continue."""
    source: str = "recipe"
    """Where it comes from."""


SHORTEST_OPENING = 10
"""Characters below which a held-out text gives no opening."""


class GenerateOptions(Options):
    """Which models continue what."""

    models: tuple[str, ...] = Field(min_length=1)
    """Stages of this recipe or model references."""
    corpus: str | None = None
    """The corpus whose held-out documents give the openings."""
    openings: int = Field(default=2, ge=0, le=50)
    """Openings drawn from the held-out documents by the recipe's seed; nobody picks them."""
    texts: tuple[str, ...] = ()
    """Further openings, given here."""
    opening_characters: int = Field(default=160, ge=10, le=4000)
    """About how long a drawn opening is; it ends with a whole word."""
    max_tokens: int = Field(default=60, ge=1, le=2000)
    """Tokens of a continuation."""
    temperature: float = Field(default=0.8, ge=0, le=5)
    """0 takes the most probable token every time."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Share of the probability the sampler draws from."""


def uses(options: GenerateOptions) -> list[Use]:
    corpus = [Use("corpus", options.corpus, ("corpus",))] if options.corpus else []
    return corpus + [Use("models", model, ("pretrain", "tune"), outside=True) for model in options.models]


def check(options: GenerateOptions) -> None:
    if not options.texts and not (options.corpus and options.openings):
        raise UserError("no openings", expected="a corpus to draw them from, or 'texts'")


def run(context: StageContext, options: GenerateOptions) -> None:
    from fourfold.inference import Sampling

    openings = [Opening(text=text) for text in options.texts]
    if options.corpus:
        openings += [shortened(context, options, opening) for opening in draw_openings(context, options)]
    sampling = Sampling(
        max_tokens=options.max_tokens, temperature=options.temperature, top_p=options.top_p, seed=context.seed
    )
    partial = context.folder / "rows.jsonl"
    done = {row["model"]: row["texts"] for row in read_partial(partial)}
    with task("continue the openings", len(options.models), "models") as work:
        for reference in options.models:
            if reference not in done:
                model = context.models.get(reference)
                done[reference] = [model.generate([opening.text], sampling)[0].text for opening in openings]
                append_jsonl(partial, {"model": reference, "texts": done[reference]})
                context.ledger.save()
            work.advance(1, reference)
    seen = {"seed": context.seed, "temperature": options.temperature}
    results = [
        {
            "text": opening.text,
            "source": opening.source,
            "rows": [
                {"model": reference, **context.models.card(reference), "text": done[reference][index], **seen}
                for reference in options.models
            ],
        }
        for index, opening in enumerate(openings)
    ]
    write_json(context.folder / "results.json", {"openings": results})
    partial.unlink(missing_ok=True)


def draw_openings(context: StageContext, options: GenerateOptions) -> list[Opening]:
    """Beginnings of held-out documents, spread over the groups of documents, drawn by the seed."""
    from fourfold.pretraining.corpus import read_documents

    assert options.corpus is not None  # the caller has looked
    documents = list(read_documents(context.output_of(options.corpus, "test.jsonl")))
    # A small corpus holds out little: then an opening is at most half of the longest text there is.
    longest = max((len(document.text) for document in documents), default=0)
    characters = min(options.opening_characters, longest // 2)
    groups: dict[str, list[Any]] = {}
    for document in documents:
        if len(document.text) > characters >= SHORTEST_OPENING:
            groups.setdefault(str(document.meta.get("group", "")), []).append(document)
    draw = random.Random(context.seed)
    order = {name: draw.sample(documents, len(documents)) for name, documents in sorted(groups.items())}
    found: list[Opening] = []
    while len(found) < options.openings and any(order.values()):
        for left in order.values():
            if left and len(found) < options.openings:
                document = left.pop()
                found.append(Opening(text=beginning(document.text, characters), source=document.id))
    if not found:
        raise UserError("no held-out document is long enough for an opening", where=context.path(options.corpus))
    return found


def shortened(context: StageContext, options: GenerateOptions, opening: Opening) -> Opening:
    """A drawn opening, cut so that it and its continuation fit the context of every model."""
    from fourfold.inference import LanguageModel

    text = opening.text
    for reference in options.models:
        model = context.models.get(reference)
        limit = model.module.context if isinstance(model, LanguageModel) else None
        if limit is not None:
            room = max(1, limit - options.max_tokens, limit // 2)
            while len(text) > 1 and (tokens := len(model.tokenizer.encode(text))) > room:
                text = beginning(text, min(len(text) - 1, len(text) * room // tokens))
    return opening.model_copy(update={"text": text})


def beginning(text: str, characters: int) -> str:
    """The first `characters` of a text, up to the last whole word where words are separated."""
    cut = text.lstrip()[:characters]
    spaced = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:spaced] if spaced > characters // 2 else cut


KIND = StageKind(
    name="generate",
    options=GenerateOptions,
    uses=uses,
    run=run,
    check=check,
    code=("inference", "models", "tokenizers", "workflow.partial"),
)
