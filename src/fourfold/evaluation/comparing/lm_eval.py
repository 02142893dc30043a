"""Reading what lm-evaluation-harness 0.4 writes with `--log_samples`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.comparing.documents import choices_of, question_of, target_of
from fourfold.evaluation.comparing.samples import Results, Sample
from fourfold.files import hash_value, read_json, read_jsonl

NAME = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+))?\.jsonl")
FIRST_METRICS = ("acc", "exact_match", "pass@1", "prompt_level_strict_acc", "f1", "perplexity")
"""The metric compared when none is named: the first a sample has of these, else its first."""
LOG_LIKELIHOOD = {"perplexity"}
"""Shown as exp of the mean; a sample holds the log-likelihood, of which more is better."""
NO_FILTER = "none"


def is_lm_eval(value: Any) -> bool:
    return isinstance(value, dict) and "doc_id" in value and "doc" in value


def read_lm_eval(files: Sequence[Path], path: Path) -> Results:
    """The samples of these files; settings, directions and groups from the results file of the same run, if there."""
    samples: list[Sample] = []
    settings: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    lower: set[str] = set()
    for file in files:
        match = NAME.fullmatch(file.name)
        task = match["task"] if match else file.stem
        about = _about(file, match["date"] if match else None)
        settings[task] = _settings(about, task)
        groups |= _leaves(about.get("group_subtasks", {}))
        directions = about.get("higher_is_better", {}).get(task, {})
        lower |= {name for name, higher in directions.items() if higher is False and name not in LOG_LIKELIHOOD}
        samples += _samples(file, task, str(settings[task].get("method", "")))
    return Results(path=path, samples=samples, settings=settings, lower_is_better=frozenset(lower), groups=groups)


def newest_files(folder: Path) -> list[Path]:
    """The sample files below a folder; of several runs of a task by one model, the newest."""
    newest: dict[tuple[Path, str], Path] = {}
    for file in sorted(folder.rglob("samples_*.jsonl"), key=lambda file: file.name):
        if match := NAME.fullmatch(file.name):
            newest[file.parent, match["task"]] = file
    return list(newest.values())


def _samples(file: Path, task: str, method: str) -> list[Sample]:
    """One sample an item: a task with several filters has a line for each, and so a metric `NAME,FILTER` for each."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for line, value in read_jsonl(file):
        if not is_lm_eval(value):
            raise UserError("not a sample of lm-eval", where=f"{file}:{line}", expected="an object with doc_id and doc")
        lines.setdefault(str(value["doc_id"]), []).append({**value, "line": line})
    return [_sample(values, file, task, method) for values in lines.values()]


def _sample(values: Sequence[Mapping[str, Any]], file: Path, task: str, method: str) -> Sample:
    first = values[0]
    scores: dict[str, float] = {}
    for value in values:
        how = str(value.get("filter", NO_FILTER))
        for name, score in _scores(value).items():
            scores[name if how == NO_FILTER else f"{name},{how}"] = score
    if not scores:
        raise UserError("an lm-eval sample without a number for any metric", where=f"{file}:{first['line']}")
    doc = first["doc"] if isinstance(first["doc"], dict) else {"text": str(first["doc"])}
    prompt, continuations = _arguments(first.get("arguments"))
    choices = choices_of(doc) or (continuations if len(continuations) > 1 else ())
    return Sample(
        model=file.parent.name or "model",
        task=task,
        solver=method,
        id=str(first["doc_id"]),
        prompt=prompt,
        output=_output(first, choices),
        target=target_of(first.get("target"), choices),
        scores=scores,
        question=question_of(doc) or prompt,
        choices=choices,
    )


def _scores(value: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a line that are one number an item; flags of several instructions become their share."""
    named = [name for name in value.get("metrics", ()) if name in value]
    found = {name: number for name in [*FIRST_METRICS, *named] if (number := _number(value.get(name))) is not None}
    order = sorted(found, key=lambda name: FIRST_METRICS.index(name) if name in FIRST_METRICS else len(FIRST_METRICS))
    return {name: found[name] for name in order}


def _number(value: Any) -> float | None:
    if isinstance(value, list) and value and all(isinstance(flag, bool) for flag in value):
        return sum(value) / len(value)
    return float(value) if isinstance(value, int | float) else None


def _arguments(arguments: Any) -> tuple[str, tuple[str, ...]]:
    """(what the model read, all continuations); lm-eval writes lists or {"gen_args_0": {"arg_0": …}}."""
    requests = [list(_values(request)) for request in _values(arguments)]
    texts = [request for request in requests if request and isinstance(request[0], str)]
    continuations = tuple(request[1].strip() for request in texts if len(request) > 1 and isinstance(request[1], str))
    return (texts[0][0] if texts else ""), continuations


def _values(container: Any) -> Iterable[Any]:
    if isinstance(container, dict):
        return container.values()
    return container if isinstance(container, list) else ()


def _output(value: Mapping[str, Any], choices: Sequence[str]) -> str:
    """The text that was scored, or the choice that was most likely."""
    answers = value.get("filtered_resps")
    if not isinstance(answers, list):
        return str(answers or "")
    if len(answers) == 1 and isinstance(answers[0], str):
        return answers[0]
    try:
        likelihoods = [float(answer[0]) for answer in answers]
    except (TypeError, ValueError, IndexError):
        return str(answers)
    best = likelihoods.index(max(likelihoods))
    return choices[best] if len(choices) == len(likelihoods) > 1 else str(answers)


def _about(file: Path, date: str | None) -> dict[str, Any]:
    """The results file written with this sample file."""
    if date is None:
        return {}
    found = next((other for other in sorted(file.parent.glob(f"*_{date}.json"))), None)
    about = read_json(found) if found else {}
    return about if isinstance(about, dict) else {}


def _settings(about: Mapping[str, Any], task: str) -> dict[str, Any]:
    if not about:
        return {}
    configuration, run = about.get("configs", {}).get(task, {}), about.get("config", {})
    generation = {**(configuration.get("generation_kwargs") or {}), **(run.get("gen_kwargs") or {})}
    template, system = about.get("chat_template"), about.get("system_instruction")
    return {
        "shots": about.get("n-shot", {}).get(task),
        "method": configuration.get("output_type"),
        "prompt": [configuration.get(name) for name in ("description", "doc_to_text", "doc_to_choice")],
        "generation": generation or None,
        "limit": run.get("limit"),
        "task version": about.get("versions", {}).get(task),
        "chat template": hash_value(template)[:12] if template else None,
        "system prompt": hash_value(system)[:12] if system else None,
        "seed of the demonstrations": run.get("fewshot_seed"),
    }


def _leaves(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Groups that are in no other group, with the tasks that are at the bottom of them."""
    inner = {name for members in groups.values() for name in members if groups.get(name)}

    def tasks(name: str) -> list[str]:
        members = groups.get(name) or ()
        return [leaf for member in members for leaf in tasks(member)] if members else [name]

    return {name: tasks(name) for name, members in groups.items() if members and name not in inner}
