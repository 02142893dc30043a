"""Reading samples of finished evaluations: our own and lm-eval's (`--log_samples`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import hash_value, read_jsonl

_LM_EVAL_NAME = re.compile(r"samples_(?P<task>.+?)(?:_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+))?\.jsonl")
_LM_EVAL_METRICS = ("acc", "exact_match", "pass@1", "prompt_level_strict_acc")
"""Which metric of an lm-eval sample is compared: the first it has of these, else its first."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item as one model answered it."""

    model: str
    task: str
    solver: str
    id: str
    hash: str
    prompt: str
    output: str
    target: str
    score: float


def read_samples(path: Path) -> list[Sample]:
    """The samples of a result folder of ours or of lm-eval, or of one samples file.

    Where an lm-eval folder holds several runs of a task, the newest counts.
    """
    files = [path] if path.is_file() else _files_in(path)
    if not files:
        expected = "a folder with samples.jsonl, as evaluate writes it, or lm-eval's samples_TASK_DATE.jsonl"
        raise UserError("no results here", where=path, expected=expected)
    samples = [_sample(value, file, line) for file in files for line, value in read_jsonl(file)]
    if not samples:
        raise UserError("no samples in the file", where=files[0])
    return samples


def _files_in(folder: Path) -> list[Path]:
    if (folder / "samples.jsonl").is_file():
        return [folder / "samples.jsonl"]
    newest: dict[tuple[Path, str], Path] = {}
    for file in sorted(folder.rglob("samples_*.jsonl"), key=lambda file: file.name):
        if match := _LM_EVAL_NAME.fullmatch(file.name):
            newest[file.parent, match["task"]] = file
    return list(newest.values())


def _sample(value: Any, file: Path, line: int) -> Sample:
    where = f"{file}:{line}"
    if isinstance(value, dict) and "doc_id" in value and "doc" in value:
        return _from_lm_eval(value, file, where)
    if not isinstance(value, dict) or not isinstance(value.get("score"), int | float):
        raise UserError("not a sample", where=where, expected="an object with model, task, id, prompt, score")
    missing = [name for name in ("model", "task", "id", "prompt") if name not in value]
    if missing:
        raise UserError(f"a sample without {', '.join(missing)}", where=where)
    texts = {name: str(value.get(name, "")) for name in ("model", "task", "solver", "id", "prompt", "output", "target")}
    content = value.get("hash") or hash_value([texts["prompt"], texts["target"]])
    return Sample(**texts, hash=str(content), score=float(value["score"]))


def _from_lm_eval(value: dict[str, Any], file: Path, where: str) -> Sample:
    """An lm-eval 0.4 sample: the item is its document, the solver its filter."""
    names = [*_LM_EVAL_METRICS, *value.get("metrics", ())]
    score = next((value[name] for name in names if isinstance(value.get(name), int | float)), None)
    if score is None:
        raise UserError("an lm-eval sample without a number for any metric", where=where)
    match = _LM_EVAL_NAME.fullmatch(file.name)
    return Sample(
        model=file.parent.name or "model",
        task=match["task"] if match else file.stem,
        solver=str(value.get("filter", "none")),
        id=str(value["doc_id"]),
        hash=hash_value([value["doc"], str(value.get("target"))]),
        prompt=_first_argument(value.get("arguments")),
        output=str(value.get("filtered_resps", "")),
        target=str(value.get("target", "")),
        score=float(score),
    )


def _first_argument(arguments: Any) -> str:
    """The prompt of the first request; lm-eval writes lists or {"gen_args_0": {"arg_0": …}}."""
    for _ in range(2):
        if isinstance(arguments, dict) and arguments:
            arguments = next(iter(arguments.values()))
        elif isinstance(arguments, list) and arguments:
            arguments = arguments[0]
    return arguments if isinstance(arguments, str) else ""
