"""`fourfold ngram`: count-based language models, as KenLM trains them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import finish, show, show_json, show_table
from fourfold.cli.options import PRETRAIN, Json, Output, load_model, load_tokenizer, parse_bytes
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import LanguageModel
    from fourfold.models.ngram import NGramLM

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Train, prune and inspect n-gram models.")
commands.add_typer(group, name="ngram", rich_help_panel=PRETRAIN)

ARPA = (".arpa", ".gz")
Reference = Annotated[str, typer.Argument(metavar="MODEL", help="An n-gram folder or an .arpa file.")]


@group.command(epilog="Example: fourfold ngram train speeches.txt -o fivegram --order 5 --prune 0,0,1")
def train(
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT...", help="Text files, one sentence a line.")],
    output: Output,
    order: Annotated[int, typer.Option(help="Longest n-gram, 1 to 10.")] = 5,
    smoothing: Annotated[
        str,
        typer.Option(
            help="modified-kneser-ney, kneser-ney, katz, jelinek-mercer[:WEIGHT], witten-bell, absolute-discounting, "
            "add-k[:K], maximum-likelihood or stupid-back-off[:FACTOR]."
        ),
    ] = "modified-kneser-ney",
    unit: Annotated[str, typer.Option(help="What is counted: words or characters (for Chinese, say).")] = "words",
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Count this tokenizer's tokens instead: a folder or a model reference."),
    ] = None,
    min_count: Annotated[int, typer.Option(min=1, help="Read words that occur less often as <unk>.")] = 1,
    prune: Annotated[
        str | None, typer.Option(help="Drop n-grams of order 1, 2, 3… that occur at most so often, as in 0,0,1.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Count in files beside OUT with at most so much memory at a time: 2GB, say."),
    ] = None,
    arpa: Annotated[Path | None, typer.Option(help="Write an ARPA file too; gzip if it ends in .gz.")] = None,
) -> None:
    """Count words between <s> and </s> and smooth; `-o NAME.arpa` writes only an ARPA file, else a folder."""
    from fourfold.inference import LanguageModel
    from fourfold.models.ngram import OnDisk, train_word_ngram

    if tokenizer is not None:
        if unit != "words" or min_count > 1 or memory:
            raise UserError("--tokenizer decides what is counted", advice="Leave --unit, --min-count and --memory out.")
        unit, model = "tokens", _of_tokens(texts, tokenizer, order, smoothing, _thresholds(prune), output.name)
    else:
        module, words = train_word_ngram(
            texts,
            order,
            smoothing,
            unit=_unit(unit),
            min_count=min_count,
            prune=_thresholds(prune),
            on_disk=OnDisk(memory=parse_bytes(memory), folder=output.absolute().parent) if memory else None,
        )
        model = LanguageModel(module, words, name=output.name, text_end_id=words.eos_id)
    for place in (arpa, output) if arpa else (output,):
        _write(model, place)
    config = _ngram_of(model, output.name)[1].config
    show(f"{order}-gram over {config.vocabulary_size:,} {unit}, {sum(config.ngrams):,} n-grams")
    finish(where=output, next_command=["score", output, "FILE", "--lines"])


@group.command(epilog="Example: fourfold ngram prune fivegram -o small --threshold 1e-7")
def prune(
    model: Reference,
    output: Output,
    threshold: Annotated[
        float, typer.Option(help="Relative rise of perplexity an n-gram may cost when it goes; 1e-8 is careful.")
    ] = 1e-8,
) -> None:
    """Drop the n-grams the model hardly misses (Stolcke 1998); says how much smaller it becomes."""
    from fourfold.models.ngram import prune_by_entropy

    lm, module = _load(model)
    pruned = prune_by_entropy(module, threshold)
    before, after = sum(module.config.ngrams), sum(pruned.config.ngrams)
    lm.module = pruned
    _write(lm, output)
    show(f"{after:,} of {before:,} n-grams kept ({after / before:.1%})")
    finish(where=output, next_command=["ngram", "info", output, "--text", "FILE"])


@group.command(epilog="Example: fourfold ngram quantize fivegram -o compact --bits 8")
def quantize(
    model: Reference,
    output: Output,
    bits: Annotated[int, typer.Option(help="Bits a number: 8 or 16.")] = 8,
) -> None:
    """Keep each probability as an entry of a small book; says how much smaller and how much coarser it becomes."""
    from fourfold.models.ngram import quantize_ngram

    lm, module = _load(model)
    small, mean, largest = quantize_ngram(module, bits)
    before, after = _bytes(module), _bytes(small)
    lm.module = small
    lm.save(output)
    show(f"{before / 1e6:,.1f} MB -> {after / 1e6:,.1f} MB; log-probabilities change by {mean:.4f} nats in the mean, "
         f"{largest:.3f} at most")  # fmt: skip
    finish(where=output, next_command=["ngram", "info", output, "--text", "FILE"])


def _bytes(module: NGramLM) -> int:
    return sum(array.nbytes for array in module.trie)


@group.command(epilog="Example: fourfold ngram info fivegram --text held-out.txt")
def info(
    model: Reference,
    text: Annotated[
        Path | None, typer.Option(help="A text, one sentence a line: perplexity and n-grams met in it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What a model holds: n-grams of each order, their discounts, and how well it predicts a text."""
    lm, module = _load(model)
    config = module.config
    facts: dict[str, Any] = {
        "order": module.order,
        "vocabulary_size": module.vocabulary_size,
        "smoothing": config.smoothing,
        "normalised": config.normalised,
        "bytes": _bytes(module),
        "orders": [_order(module, order) for order in range(1, module.order + 1)],
    }
    if text is not None:
        facts["text"] = _measured(lm, text)
    if as_json:
        show_json(facts)
    else:
        for key in ("order", "vocabulary_size", "smoothing", "bytes"):
            show(f"{key:16} {facts[key]:,}" if isinstance(facts[key], int) else f"{key:16} {facts[key]}")
        show()
        show_table(facts["orders"])
        if text is not None:
            show()
            show_table([facts["text"]])
    finish(next_command=["generate", model, "the"], result_on_stdout=False)


def _order(module: NGramLM, order: int) -> dict[str, Any]:
    def numbers(rows: tuple[tuple[float, ...], ...]) -> str | None:
        row = rows[order - 1] if order <= len(rows) else ()
        return " ".join(f"{value:.3f}" for value in row) or None

    config = module.config
    row = {"order": order, "n-grams": config.ngrams[order - 1], "discounts": numbers(config.discounts)}
    return row | ({"weights": numbers(config.weights)} if any(config.weights) else {})


def _measured(lm: LanguageModel, text: Path) -> dict[str, Any]:
    """The text scored line by line, as KenLM's query does."""
    import math

    from fourfold.files import read_text
    from fourfold.inference import say_if_unnormalised

    lines = [line for line in read_text(text).splitlines() if line.strip()]
    if not lines:
        raise UserError("there is no text to score", where=text)
    say_if_unnormalised(lm, lm.name)
    scores = lm.score(lines)
    tokens = sum(len(score.ids) for score in scores)
    nats = -math.fsum(score.total for score in scores)
    unknown = getattr(lm.tokenizer, "unk_id", None)
    found = [token for score in scores for token in score.ids if token == unknown]
    return {
        "lines": len(lines),
        "tokens": tokens,
        "unknown": len(found),
        "perplexity": math.exp(nats / tokens),
        "bits_per_byte": nats / math.log(2) / sum(score.bytes for score in scores),
        "bits_per_character": nats / math.log(2) / sum(score.characters for score in scores),
    }


def _of_tokens(
    texts: list[Path], reference: str, order: int, smoothing: str, prune: list[int], name: str
) -> LanguageModel:
    """A model of a tokenizer's ids; each line that is not blank is a text of its own."""
    from fourfold.files import read_text
    from fourfold.inference import LanguageModel
    from fourfold.models.ngram import train_ngram

    tokenizer = load_tokenizer(reference)
    lines = [line for path in texts for line in read_text(path).splitlines() if line.strip()]
    module = train_ngram(
        tokenizer.encode_batch(lines),
        order=order,
        vocabulary_size=tokenizer.vocabulary_size,
        smoothing=smoothing,
        prune=prune,
        bos_id=tokenizer.document_start_id,
        eos_id=tokenizer.eos_id,
    )
    return LanguageModel(module, tokenizer, name=name)


def _load(reference: str) -> tuple[LanguageModel, NGramLM]:
    return _ngram_of(load_model(reference), reference)


def _ngram_of(lm: object, reference: str) -> tuple[LanguageModel, NGramLM]:
    from fourfold.inference import LanguageModel
    from fourfold.models.ngram import NGramLM

    if not isinstance(lm, LanguageModel) or not isinstance(lm.module, NGramLM):
        raise UserError("this is no n-gram model", where=reference, advice=f"Try: fourfold inspect {reference}")
    return lm, lm.module


def _write(lm: LanguageModel, output: Path) -> None:
    """A folder of ours, or an ARPA file where the name ends like one."""
    from fourfold.models.ngram import NGramLM, WordTokenizer, write_arpa

    if output.suffix not in ARPA:
        lm.save(output)
        return
    if not isinstance(lm.tokenizer, WordTokenizer) or not isinstance(lm.module, NGramLM):
        raise UserError("only models of words are written as ARPA here", advice="Try: fourfold convert MODEL OUT.arpa")
    write_arpa(lm.module, output, lm.tokenizer.words)


def _unit(name: str) -> Any:
    from typing import get_args

    from fourfold.errors import unknown_name
    from fourfold.models.ngram import Unit

    if name not in get_args(Unit):
        raise unknown_name("unit", name, get_args(Unit))
    return name


def _thresholds(text: str | None) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise UserError("--prune takes whole numbers", expected="0,0,1, say", got=text) from None
