"""What a fine-tuning stage reports: scores with intervals, and the same model from random weights beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourfold.adaptation.downstream import Answer, Record, TaskKind
    from fourfold.measures import PairedResult

PRETRAINED, RANDOM = "pretrained", "random"
SHOWN = 20
"""Held-out records whose answers are kept for reading."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A task, and what the trained models said of its held-out records."""

    kind: TaskKind
    data: str
    train: list[Record]
    held_out: list[Record]
    answers: dict[str, list[Answer]]
    """By side: `pretrained`, and `random` where it was trained too."""


def weigh(trial: Trial, name: str, label: str, seed: int) -> dict[str, Any]:
    """Rows and comparisons in the form of an evaluate stage, and the verdict as a sentence."""
    from fourfold.adaptation.downstream import baseline, difference, interval, score_records

    held_out = trial.held_out
    scores = {side: score_records(trial.kind, held_out, said) for side, said in trial.answers.items()}
    plain = baseline(trial.kind, trial.train, held_out)
    chances = {} if plain is None else score_records(trial.kind, held_out, plain)
    names = {PRETRAINED: name, RANDOM: f"{name} from random weights"}
    same = {"task": trial.data, "solver": "fine-tuned", "n": len(held_out)}
    rows: list[dict[str, Any]] = []
    comparisons, parts = [], []
    for metric in scores[PRETRAINED]:
        values = {side: interval(held_out, found[metric], seed) for side, found in scores.items()}
        chance = interval(held_out, chances[metric], seed).value if metric in chances else None
        for side in reversed(values):  # random weights first: the report compares with the first row
            value, low, high, method = values[side]
            row = {"model": names[side], "label": names[side].replace(name, label), **same, "metric": metric}
            rows.append({**row, "value": value, "low": low, "high": high, "method": method, "chance": chance})
        part = f"{metric} {values[PRETRAINED].value:.3f}" + ("" if chance is None else f" (baseline {chance:.3f})")
        if RANDOM in scores:
            result = difference(held_out, scores[RANDOM][metric], scores[PRETRAINED][metric], seed)
            pair = {"task": trial.data, "solver": "fine-tuned", "metric": metric}
            comparisons.append({**pair, "a": names[RANDOM], "b": names[PRETRAINED], **result._asdict()})
            part += f", {values[RANDOM].value:.3f} from random weights: {verdict(result)}"
        parts.append(part)
    for whole in _macro_rows(trial):
        model = names[whole["side"]]
        rows.append({**same, **whole, "model": model, "label": model.replace(name, label)})
    return {"rows": rows, "comparisons": comparisons, "sentence": f"{label} on {trial.data}: " + "; ".join(parts)}


def _macro_rows(trial: Trial) -> list[dict[str, Any]]:
    """The mean F1 over classes, which has no score a record and so no interval."""
    from fourfold.adaptation.downstream import macro_f1

    if trial.kind not in ("classification", "tagging"):
        return []
    return [
        {"side": side, "metric": "macro_f1", "value": macro_f1(trial.held_out, said), "low": None, "high": None}
        for side, said in reversed(trial.answers.items())
    ]


def verdict(result: PairedResult) -> str:
    words = {"better": "pre-training helps", "worse": "pre-training harms"}
    said = words.get(result.verdict, "pre-training is not shown to help")
    return f"{said} ({result.difference:+.3f}, {result.low:+.3f} to {result.high:+.3f})"


def shown(trial: Trial) -> list[dict[str, Any]]:
    """Some held-out records with what each model made of them."""
    found = []
    for index, record in enumerate(trial.held_out[:SHOWN]):
        target: Answer = [tag.name for tag in record.tags] or record.answer
        outputs = {side: said[index] for side, said in trial.answers.items()}
        found.append({"text": record.text, "question": record.question, "target": target, **outputs})
    return found
