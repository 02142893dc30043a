"""Models that are counted: n-gram folders and ARPA files, read by their own careful readers."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator

from fourfold.kernels import unpacked
from fourfold.models.ngram import load_ngram, read_arpa
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Unseen, Words, kind, same
from fourfold.workflow.doctor.model import Model
from fourfold.workflow.doctor.opening import attempt

ARPA_BYTES = 300_000_000
"""A larger ARPA file is not read through unless asked to: half a minute."""
HEAD_BYTES = 1 << 16
SLACK = 0.01

UNREADABLE = kind("ngram-unreadable")
SUM = kind("ngram-sum")
NO_UNKNOWN = kind("ngram-no-unknown")


def check(model: Model) -> Iterator[Outcome]:
    if model.form == "ngram":
        made, troubles = attempt(lambda: load_ngram(model.place), UNREADABLE, "model.safetensors")
        yield from troubles
    elif model.form == "arpa":
        if model.place.stat().st_size > ARPA_BYTES and not model.deep:
            yield Unseen(Words("the n-grams of so large a file (--deep)", "文件太大，其中的 n 元组（--deep）"))
            return
        read, troubles = attempt(lambda: read_arpa(model.place), UNREADABLE, model.place.name)
        yield from troubles
        made = read[0] if read is not None else None
        if made is not None and not _names_unknown(model):
            yield NO_UNKNOWN.at(model.place.name)
    else:
        return
    if made is None:
        return
    counts = made.config.ngrams
    yield Fact("ngrams", Words("n-grams", "n 元组"), same(" + ".join(f"{count:,}" for count in counts)))
    log_prob = unpacked(made.trie).log_prob[1 : 1 + counts[0]]
    total = math.fsum(math.exp(value) for value in log_prob.tolist() if value < 0)
    if abs(total - 1) > SLACK:
        yield SUM.at(model.place.name, total=total)


def _names_unknown(model: Model) -> bool:
    """Whether the word stands among the first lines, where every tool writes it."""
    opened = gzip.open if model.place.suffix == ".gz" else open
    with opened(model.place, "rb") as stream:
        return b"<unk>" in stream.read(HEAD_BYTES)


CHECK: Check[Model] = Check(title=Words("n-grams", "n 元模型"), run=check, kinds=(UNREADABLE, SUM, NO_UNKNOWN))
