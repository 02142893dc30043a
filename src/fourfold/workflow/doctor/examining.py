"""Runs the checks one by one; a check that fails itself becomes a finding, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fourfold.workflow.doctor import (
    adapter,
    architecture,
    context,
    counted,
    ends,
    files,
    fit,
    hashes,
    languages,
    merging,
    number_types,
    opening,
    quantized,
    template,
    vocabulary,
    weights,
)
from fourfold.workflow.doctor.data import DATA_CHECKS, open_data
from fourfold.workflow.doctor.findings import (
    SEVERITIES,
    Check,
    Fact,
    Finding,
    Kind,
    Language,
    Outcome,
    Severity,
    Unseen,
    kind,
)
from fourfold.workflow.doctor.model import Model
from fourfold.workflow.doctor.opening import open_model, told

Subject = TypeVar("Subject")

MODEL_CHECKS: tuple[Check[Model], ...] = (
    files.CHECK, opening.CHECK, hashes.CHECK, architecture.CHECK, number_types.CHECK, weights.CHECK, quantized.CHECK,
    vocabulary.CHECK, ends.CHECK, template.CHECK, languages.CHECK, context.CHECK, adapter.CHECK, merging.CHECK,
    counted.CHECK, fit.CHECK,
)  # fmt: skip

CHECK_FAILED = kind("check-failed")


def known_kinds() -> tuple[Kind, ...]:
    """Every kind of finding there is."""
    checks: Iterable[Check[Any]] = (*MODEL_CHECKS, *DATA_CHECKS)
    return (*(kind for check in checks for kind in check.kinds), CHECK_FAILED)


@dataclass(kw_only=True)
class Report:
    """What was found in a model, in data, or in both."""

    findings: list[Finding] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    subject: str = ""
    """What was looked at, in a few words."""
    seconds: float = 0.0

    def count(self, severity: Severity) -> int:
        return sum(finding.kind.severity == severity for finding in self.findings)

    def sorted(self) -> list[Finding]:
        """Errors first; within a severity in the order of the checks."""
        return sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.kind.severity))

    def record(self, language: Language = "en") -> dict[str, Any]:
        return {
            "subject": self.subject,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "findings": [finding.record(language) for finding in self.sorted()],
            "facts": {fact.name: fact.value.of(language) for fact in self.facts},
            "unseen": [unseen.what.of(language) for unseen in self.unseen],
            "seconds": round(self.seconds, 2),
        }


def examine(
    reference: str | None,
    data: Path | None = None,
    *,
    against: tuple[Path, ...] = (),
    context: int | None = None,
    base: str | None = None,
    deep: bool = False,
) -> Report:
    """Look at a model, a data file, or data with the model that is to learn from it.

    UserError only where a reference names nothing; whatever is wrong with what it names is a finding.
    """
    started = time.monotonic()
    report = Report()
    model = None
    if reference is not None:
        model = open_model(reference, deep=deep, base=base)
        gather(report, MODEL_CHECKS, model)
        report.subject = described(model)
    if data is not None:
        opened = open_data(data, model=model, context=context, against=against, deep=deep)
        gather(report, DATA_CHECKS, opened)
        report.subject = " + ".join(filter(None, (report.subject, data.name)))
    report.seconds = time.monotonic() - started
    return report


def gather(report: Report, checks: Iterable[Check[Subject]], subject: Subject) -> None:
    """Run checks over one subject into the report."""
    for check in checks:
        for outcome in guarded(check, subject):
            match outcome:
                case Finding():
                    report.findings.append(outcome)
                case Fact():
                    report.facts.append(outcome)
                case Unseen():
                    report.unseen.append(outcome)


def guarded(check: Check[Subject], subject: Subject) -> Iterator[Outcome]:
    try:
        yield from check.run(subject)
    except Exception as error:  # whatever a damaged file did to a check, the others go on
        yield CHECK_FAILED.at("", title=check.title, reason=told(error))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how a Rust package fails
            raise
        yield CHECK_FAILED.at("", title=check.title, reason=told(error))


def described(model: Model) -> str:
    """`smollm2 (GGUF, llama)`."""
    form = {"gguf": "GGUF", "folder": "folder", "adapter": "adapter", "ngram": "n-gram folder", "arpa": "ARPA"}
    kind = str(model.config.get("peft_type", "")).lower() if model.form == "adapter" else model.kind
    return f"{model.reference} ({', '.join(filter(None, (form[model.form], kind)))})"
