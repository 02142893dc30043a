"""Which kind of results lies at a path, and all of its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.comparing.lm_eval import is_lm_eval, newest_files, read_lm_eval
from fourfold.evaluation.comparing.samples import Results, is_own, read_own, read_plain
from fourfold.files import read_jsonl


def read_results(path: Path) -> Results:
    """The results of `evaluate`, of lm-eval, or of a plain JSONL file; a folder or one file of samples."""
    own = path / "samples.jsonl"
    if path.is_dir() and not own.is_file():
        files = newest_files(path)
        found = read_lm_eval(files, path) if files else None
    else:
        found = _read_file(path if path.is_file() else own)
    if found is None:
        expected = (
            "a folder with samples.jsonl, as evaluate writes it, or with samples_TASK_DATE.jsonl, as lm-eval does with"
            " --log_samples"
        )
        raise UserError("no results here", where=path, expected=expected)
    if not found.samples:
        raise UserError("no samples in the file", where=found.path)
    return found


def _read_file(file: Path) -> Results | None:
    if not file.is_file():
        return None
    first = _first(file)
    if is_lm_eval(first):
        return read_lm_eval([file], file)
    plain = file.name != "samples.jsonl" and not is_own(first)
    return read_plain(file) if plain else read_own(file)


def _first(file: Path) -> Any:
    return next((value for _, value in read_jsonl(file)), None)
