"""What of it fits on this machine: reading, answering, tuning with low-rank deltas."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.pretraining import Job, machine_memory, memory
from fourfold.training import choose_precision
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind
from fourfold.workflow.doctor.model import Model

TUNING_ROWS, TUNING_TOKENS = 4, 1024
READING_TOKENS = 8192

NO_READING = kind("memory-reading")
NO_TUNING = kind("memory-tuning")


def check(model: Model) -> Iterator[Outcome]:
    described = model.weights.described
    there = machine_memory()
    if described is None or not model.weights.entries or there is None:
        return
    context = getattr(described.config, "context", None) or TUNING_TOKENS
    tokens = min(context, TUNING_TOKENS)
    precision = choose_precision()
    read = Job(config=described.config, tokens=1, batch_size=1, context=min(context, READING_TOKENS), purpose="score")
    tune = Job(config=described.config, tokens=1, batch_size=TUNING_ROWS, context=tokens, purpose="tune")
    reading, tuning = (sum(memory(job, precision).values()) for job in (read, tune))
    whole = gigabytes(there)
    yield Fact(
        "fits",
        Words("fits here", "本机"),
        Words(
            f"running {verdict(reading, there)[0]}, LoRA {verdict(tuning, there)[0]}, of {whole} GB",
            f"运行 {verdict(reading, there)[1]}，LoRA 微调 {verdict(tuning, there)[1]}，共 {whole} GB",
        ),
    )
    if reading > there:
        yield NO_READING.at(model.reference, needed=gigabytes(reading), there=whole)
    elif tuning > there:
        yield NO_TUNING.at(model.reference, needed=gigabytes(tuning), there=whole, tokens=tokens)


def verdict(size: int, there: int) -> tuple[str, str]:
    amount = gigabytes(size)
    return (f"{amount} GB", f"{amount} GB") if size <= there else (f"{amount} GB (no)", f"{amount} GB（不行）")


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f}"


CHECK: Check[Model] = Check(title=Words("Memory", "内存"), run=check, kinds=(NO_READING, NO_TUNING))
