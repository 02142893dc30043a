"""Word vectors from text files to a finished file, stoppable on the way; and their picture."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import atomic_folder, output_folder, read_json, write_json
from fourfold.models.vectors import (
    Sentences,
    StaticVectors,
    Training,
    Unit,
    VectorsConfig,
    format_of,
    join_phrases,
    plane,
    read_sentences,
    read_vectors,
    train_vectors,
    without_rare,
    write_projector,
    write_vectors,
)
from fourfold.progress import say, task
from fourfold.workflow.inspection import Picture, save, wide_canvas
from fourfold.workflow.interrupts import Interrupts
from fourfold.workflow.report.plotting import INK, MUTED, can_plot, to_svg

VECTORS = "vectors.bin"
KIND = "fourfold-vectors"
SAVE_SECONDS = 120.0
PICTURE_WORDS = 150


def make_vectors(
    texts: Sequence[Path],
    output: Path,
    config: VectorsConfig,
    *,
    unit: Unit = "words",
    min_count: int = 5,
    phrases: Sequence[float] = (),
    threads: int = 1,
) -> dict[str, Any]:
    """Train and write `output`: a file in word2vec's formats by its ending, else a folder; returns facts of the run.

    Interrupted, the state stays beside the output, and the same call goes on from it.
    """
    if min_count < 1 or threads < 1:
        raise UserError("min_count and threads are at least 1", got=f"{min_count} and {threads}")
    sentences = read_sentences(texts, unit=unit)
    if phrases:
        sentences = join_phrases(sentences, phrases)
    sentences = without_rare(sentences, min_count)
    say(f"{len(sentences.tokens):,} words of {len(sentences.words):,} kinds in {len(sentences.ends):,} sentences.")
    training = Training.start(config, sentences)
    unfinished = output.with_name(f"{output.name}.unfinished.safetensors")
    if unfinished.is_file():
        if training.restore(unfinished):
            say(f"Going on from {unfinished}.")
        else:
            say(f"{unfinished} belongs to another text or other options; starting anew.")
    rate = _train(training, sentences, unfinished, threads)
    vectors = StaticVectors(sentences.words, training.matrix)
    settings = {**dataclasses.asdict(config), "unit": unit, "min_count": min_count, "phrases": list(phrases)}
    write_output(vectors, output, settings)
    unfinished.unlink(missing_ok=True)
    return {"words": len(vectors), "size": vectors.size, "tokens": len(sentences.tokens), "words_per_second": rate}


def _train(training: Training, sentences: Sentences, unfinished: Path, threads: int) -> float:
    """Words a second."""
    interrupts, words = Interrupts(), 0
    began = saved = time.monotonic()
    with (
        interrupts.installed(),
        interrupts.deferred(),
        task("train vectors", training.words(sentences), "words") as work,
    ):
        work.advance(training.words_done(sentences))
        with output_folder(unfinished.parent):
            for step in train_vectors(training, sentences, threads=threads):
                words += step.words
                work.advance(step.words, f"rate {step.rate:.4f}")
                if interrupts.pending or time.monotonic() - saved > SAVE_SECONDS:
                    training.save(unfinished)
                    saved = time.monotonic()
                interrupts.check()
    return words / max(time.monotonic() - began, 1e-9)


def write_output(vectors: StaticVectors, output: Path, settings: dict[str, Any]) -> None:
    """A file in word2vec's formats where the name ends so, else a folder with the file and its settings."""
    if format_of(output) is not None:
        write_vectors(vectors, output)
        return
    with atomic_folder(output) as part:
        write_vectors(vectors, part / VECTORS)
        write_json(part / "config.json", {"model_type": KIND, **settings})


def open_vectors(path: Path) -> StaticVectors:
    """A file in word2vec's formats, or a folder of ours."""
    if path.is_dir():
        config = path / "config.json"
        kind = read_json(config).get("model_type") if config.is_file() else None
        if kind != KIND:
            raise UserError("not a folder of word vectors", where=path, got=f"a model of type {kind}" if kind else None)
        return read_vectors(path / VECTORS)
    return read_vectors(path)


def export_projector(
    vectors: StaticVectors, folder: Path, words: Sequence[str] = (), limit: int = 10_000
) -> list[Path]:
    """TensorBoard's pair of the most frequent words, and a picture of `words`, or of the most frequent ones."""
    drawn = list(words) or vectors.words[: min(PICTURE_WORDS, limit)]
    for word in drawn:
        vectors.row(word)
    shown = list(dict.fromkeys([*vectors.words[:limit], *words]))
    with output_folder(folder):
        write_projector(vectors, folder, shown)
        paths = [folder / "vectors.tsv", folder / "metadata.tsv"]
        if not can_plot():
            say("No picture: it needs matplotlib (pip install 'fourfold[quickstart]').")
            return paths
        return [*paths, *save(picture(vectors, drawn), folder)]


def picture(vectors: StaticVectors, words: Sequence[str]) -> Picture:
    """The words by the first two principal components."""
    import io

    points, (across, up) = plane(vectors, list(words))
    with wide_canvas(7.2, 5.4) as (figure, axes):
        axes.scatter(points[:, 0], points[:, 1], s=6, color=MUTED)
        for word, (x, y) in zip(words, points.tolist(), strict=True):
            axes.annotate(word, (x, y), xytext=(2, 2), textcoords="offset points", fontsize=7, color=INK)
        axes.set_xlabel(f"first component, {across:.0%} of the variance")
        axes.set_ylabel(f"second, {up:.0%}")
        axes.set_title(f"{len(words)} words by their vectors' principal components")
        raster = io.BytesIO()
        figure.savefig(raster, format="png", dpi=160)
        svg = to_svg(figure)
    lines: list[tuple[object, ...]] = [(word, *row) for word, row in zip(words, points.tolist(), strict=True)]
    return Picture(name="picture", svg=svg, png=raster.getvalue(), header=("word", "first", "second"), lines=lines)
