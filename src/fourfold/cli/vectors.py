"""`fourfold vectors`: word2vec, trained, asked, judged and handed on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import command_line, finish, resume_command, show, show_json, show_table
from fourfold.cli.options import PRETRAIN, Json, Seed, names
from fourfold.errors import UserError, unknown_name

if TYPE_CHECKING:
    from fourfold.models.vectors import StaticVectors

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Train word vectors, ask them and judge them.")
commands.add_typer(group, name="vectors", rich_help_panel=PRETRAIN)

Vectors = Annotated[
    Path, typer.Argument(metavar="VECTORS", help="A folder of ours, or a word2vec file: .bin, .txt, .vec, also .gz.")
]
Method = Annotated[str, typer.Option(help="add (3CosAdd) or multiply (3CosMul).")]
Count = Annotated[int, typer.Option("-k", min=1, help="How many words.")]


@group.command(epilog="Example: fourfold vectors train speeches.txt -o vectors --unit simple-words --epochs 10")
def train(
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT...", help="Text files, one sentence a line.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder, or a file .bin, .txt, .vec (.gz).")],
    architecture: Annotated[str, typer.Option(help="skip-gram or cbow.")] = "skip-gram",
    loss: Annotated[str, typer.Option(help="negative-sampling or hierarchical-softmax.")] = "negative-sampling",
    size: Annotated[int, typer.Option(help="Numbers a word.")] = 100,
    window: Annotated[int, typer.Option(help="Words to each side at most.")] = 5,
    negatives: Annotated[int, typer.Option(help="Words drawn against each right one.")] = 5,
    sample: Annotated[float, typer.Option(help="Thin out words of a greater share of the text; 0: none.")] = 1e-3,
    epochs: Annotated[int, typer.Option(help="Passes over the text.")] = 5,
    rate: Annotated[float | None, typer.Option(help="First step size; 0.025, or 0.05 for cbow, if absent.")] = None,
    min_count: Annotated[int, typer.Option(min=1, help="Leave out words that occur less often.")] = 5,
    unit: Annotated[
        str,
        typer.Option(
            help="words (between white space), simple-words (letters and digits, lower case), characters (for Chinese)."
        ),
    ] = "words",
    phrases: Annotated[
        str | None, typer.Option(help="Join pairs such as new_york: a threshold a pass, as in 200,100.")
    ] = None,
    threads: Annotated[int, typer.Option(help="0: one a core. One gives the same vectors for the same seed.")] = 0,
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Learn one vector a word from the words around it; Ctrl-C keeps the state, the same command goes on."""
    from fourfold.models.vectors import VectorsConfig
    from fourfold.workflow.vectors import make_vectors

    _check_words(architecture, loss, unit)
    resume_command.set(command_line(sys.argv[1:]))
    config = VectorsConfig(
        architecture=architecture,  # type: ignore[arg-type]  # a name, checked below
        output=loss,  # type: ignore[arg-type]  # a name, checked below
        size=size, window=window, negatives=negatives, sample=sample, epochs=epochs, rate=rate, seed=seed,
    )  # fmt: skip
    facts = make_vectors(
        texts, output, config,
        unit=unit,  # type: ignore[arg-type]  # a name, checked below
        min_count=min_count, phrases=_thresholds(phrases), threads=threads or os.cpu_count() or 1,
    )  # fmt: skip
    if as_json:
        show_json(facts)
    else:
        show(
            f"{facts['words']:,} vectors of {facts['size']} numbers from {facts['tokens']:,} words, "
            f"{facts['words_per_second']:,.0f} words/s"
        )
    finish(where=output, next_command=["vectors", "nearest", output, "WORD"], result_on_stdout=not as_json)


@group.command(epilog="Example: fourfold vectors nearest vectors king")
def nearest(
    vectors: Vectors,
    word: Annotated[str, typer.Argument(metavar="WORD")],
    k: Count = 10,
    as_json: Json = False,
) -> None:
    """The words of the greatest cosine."""
    _tell(_open(vectors).nearest(word, k), "cosine", as_json)
    finish(next_command=["vectors", "analogy", vectors, "man", "king", "woman"], result_on_stdout=False)


@group.command(epilog="Example: fourfold vectors analogy vectors man king woman")
def analogy(
    vectors: Vectors,
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    c: Annotated[str, typer.Argument(metavar="C")],
    k: Count = 5,
    method: Method = "add",
    as_json: Json = False,
) -> None:
    """What is to C as B is to A; the three words themselves are never the answer."""
    _one_of("method", method, ("add", "multiply"))
    found = _open(vectors).analogy([b, c], [a], k, method)  # type: ignore[arg-type]  # a name, checked below
    _tell(found, "score", as_json)
    finish(next_command=["vectors", "evaluate", vectors, "questions-words.txt"], result_on_stdout=False)


@group.command(epilog="Example: fourfold vectors evaluate vectors questions-words.txt wordsim353.tsv")
def evaluate(
    vectors: Vectors,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Analogy questions (': section' lines) or pairs with scores."),
    ],
    method: Method = "add",
    limit: Annotated[int, typer.Option(min=4, help="Answer analogies by the so many most frequent words.")] = 300_000,
    as_json: Json = False,
) -> None:
    """Analogy accuracy by section, or the rank correlation with people's similarities; unknown words are counted."""
    from fourfold.models.vectors import answer_analogies, compare_similarities, is_analogies

    _one_of("method", method, ("add", "multiply"))
    opened = _open(vectors)
    results: dict[str, Any] = {}
    for file in files:
        if is_analogies(file):
            rows = answer_analogies(opened, file, method=method, limit=limit)  # type: ignore[arg-type]  # a name, checked below
            results[file.name] = [
                {
                    "section": r.section,
                    "accuracy": r.accuracy,
                    "right": r.right,
                    "asked": r.asked,
                    "questions": r.questions,
                }
                for r in rows
            ]
        else:
            found = compare_similarities(opened, file)
            results[file.name] = [{"spearman": found.spearman, "known": found.known, "pairs": found.pairs}]
    if as_json:
        show_json(results)
    else:
        for name, rows in results.items():
            show(name)
            show_table(rows)
            show()
    finish(next_command=["vectors", "export", vectors, "-o", "FOLDER"], result_on_stdout=False)


@group.command(epilog="Example: fourfold vectors export vectors -o projector --words king,queen,man,woman")
def export(
    vectors: Vectors,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A folder for TensorBoard's projector and a picture; or a file .bin, .txt…"
        ),
    ],
    words: Annotated[str | None, typer.Option(help="Words of the picture; the most frequent if absent.")] = None,
    limit: Annotated[int, typer.Option(min=3, help="Most frequent words for the projector.")] = 10_000,
) -> None:
    """vectors.tsv and metadata.tsv, a two-dimensional picture with its numbers; or the other word2vec format."""
    from fourfold.models.vectors import format_of, write_vectors
    from fourfold.workflow.vectors import export_projector

    opened = _open(vectors)
    if format_of(output) is not None:
        write_vectors(opened, output)
        finish(where=output, next_command=["vectors", "nearest", output, "WORD"])
        return
    for path in export_projector(opened, output, names(words or ""), limit):
        show(str(path))
    finish(where=output, next_command=["vectors", "nearest", vectors, "WORD"])


def _tell(found: list[tuple[str, float]], column: str, as_json: bool) -> None:
    rows = [{"word": word, column: score} for word, score in found]
    if as_json:
        show_json(rows)
    else:
        show_table(rows)


def _open(path: Path) -> StaticVectors:
    from fourfold.workflow.vectors import open_vectors

    return open_vectors(path)


def _check_words(architecture: str, loss: str, unit: str) -> None:
    from typing import get_args

    from fourfold.models.vectors import Unit

    _one_of("architecture", architecture, ("skip-gram", "cbow"))
    _one_of("loss", loss, ("negative-sampling", "hierarchical-softmax"))
    _one_of("unit", unit, get_args(Unit))


def _one_of(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise unknown_name(kind, name, known)


def _thresholds(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise UserError("--phrases takes numbers", expected="200,100, say", got=text) from None
