"""Results of ours in the layout of lm-evaluation-harness 0.4, for the tools that read it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.task import CHAT, COMPLETION, LETTERS, LOG_LIKELIHOOD, SAMPLED_COMPLETION
from fourfold.files import hash_value, read_json, read_jsonl, write_json, write_jsonl

Record = Mapping[str, Any]

NAMES: dict[str, dict[str, tuple[str, str]]] = {
    LOG_LIKELIHOOD: {"accuracy_raw": ("acc", "none"), "accuracy": ("acc_bytes", "none")},
    LETTERS: {"accuracy": ("acc", "none")},
    COMPLETION: {
        "exact_match": ("exact_match", "strict-match"),
        "exact_match_flexible": ("exact_match", "flexible-extract"),
        "pass@1": ("pass@1", "create_test"),
    },
}
"""By way of asking: our metric to lm-eval's (metric, filter). One that is not here keeps its name, unfiltered."""
FLAGS = {
    "prompt_strict": "prompt_level_strict_acc",
    "prompt_loose": "prompt_level_loose_acc",
    "instruction_strict": "inst_level_strict_acc",
    "instruction_loose": "inst_level_loose_acc",
}
_PER_INSTRUCTION = {"instruction_strict": "strict", "instruction_loose": "loose"}
_GENERATED = (COMPLETION, SAMPLED_COMPLETION, CHAT)


def export_lm_eval(folder: Path, target: Path) -> list[Path]:
    """Write `target/MODEL/results_DATE.json` and `samples_TASK_DATE.jsonl` for each model; returns the model folders.

    A task with subjects becomes one task a subject and a group of them. A task asked in several ways becomes
    TASK_WAY. What lm-eval would know and we do not keep (whether a choice was the greedy one) is written "None".
    """
    file, about = folder / "samples.jsonl", folder / "results.json"
    if not file.is_file() or not about.is_file():
        raise UserError("no results of `evaluate` here", where=folder, expected="samples.jsonl and results.json")
    samples, results = [value for _, value in read_jsonl(file)], read_json(about)
    date = datetime.now().isoformat().replace(":", "-")
    written = []
    for model in dict.fromkeys(sample["model"] for sample in samples):
        place = target / re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model)
        tasks = _tasks([sample for sample in samples if sample["model"] == model])
        for name, members in tasks.items():
            write_jsonl(place / f"samples_{name}_{date}.jsonl", _lines(members))
        write_json(place / f"results_{date}.json", _results(model, tasks, results))
        written.append(place)
    return written


def _tasks(samples: Sequence[Record]) -> dict[str, list[Record]]:
    """Samples by the task they are of in lm-eval's sense."""
    ways: dict[str, set[str]] = {}
    for sample in samples:
        ways.setdefault(sample["task"], set()).add(sample["solver"])
    tasks: dict[str, list[Record]] = {}
    for sample in samples:
        tasks.setdefault(_task_name(sample, several=len(ways[sample["task"]]) > 1), []).append(sample)
    return tasks


def _task_name(sample: Record, several: bool) -> str:
    parts = [sample["task"], sample["solver"] if several else "", sample.get("subject", "")]
    return re.sub(r"[^\w.@+-]+", "_", "_".join(part for part in parts if part))


def _lines(samples: Sequence[Record]) -> Iterable[dict[str, Any]]:
    """One line for each item and filter."""
    for number, sample in enumerate(samples):
        scores = _scores(sample)
        for how in dict.fromkeys(how for _, how in scores):
            here = {name: value for (name, filtered), value in scores.items() if filtered == how}
            yield _line(number, sample, how) | {"metrics": list(here)} | here


def _line(number: int, sample: Record, how: str) -> dict[str, Any]:
    choices = list(sample.get("choices", ()))
    doc = {"id": sample["id"], "question": sample["prompt"]} | ({"choices": choices} if choices else {})
    doc |= {"subject": sample["subject"]} if sample.get("subject") else {}
    target = sample["target"]
    if target in choices:
        target = choices.index(target)
    continuations = choices or [""]
    arguments = {f"gen_args_{n}": {"arg_0": sample["prompt"], "arg_1": text} for n, text in enumerate(continuations)}
    likelihoods = sample["meta"].get("log_likelihoods")
    answers = [[str(value), "None"] for value in likelihoods] if likelihoods else [sample["output"]]
    return {
        "doc_id": number,
        "doc": doc | {"answer": target},
        "target": str(target),
        "arguments": arguments,
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": how,
        "doc_hash": hash_value(doc),
        "prompt_hash": hash_value(sample["prompt"]),
        "target_hash": hash_value(str(target)),
    }


def _scores(sample: Record) -> dict[tuple[str, str], Any]:
    """By (metric, filter) as lm-eval calls them; metrics over instructions are a flag each."""
    names = NAMES.get(sample["solver"], {})
    found: dict[tuple[str, str], Any] = {}
    for name, value in sample["scores"].items():
        flags = sample["meta"].get(_PER_INSTRUCTION.get(name, ""))
        found[names.get(name, (FLAGS.get(name, name), "none"))] = value if flags is None else flags
    return found


def _results(model: str, tasks: Mapping[str, Sequence[Record]], about: Record) -> dict[str, Any]:
    """The aggregated file; groups are means over all items of their tasks."""
    groups: dict[str, list[str]] = {}
    for name, members in tasks.items():
        if members[0].get("subject"):
            several = name.startswith(f"{members[0]['task']}_{members[0]['solver']}_")
            groups.setdefault(_task_name({**members[0], "subject": ""}, several), []).append(name)
    whole = {group: [sample for name in names for sample in tasks[name]] for group, names in groups.items()}
    data = about.get("data", {})
    settings = {name: data.get(members[0]["task"], {}) for name, members in tasks.items()}
    return {
        "results": {name: _aggregated(name, members) for name, members in {**tasks, **whole}.items()},
        **({"groups": {name: _aggregated(name, members) for name, members in whole.items()}} if whole else {}),
        "group_subtasks": groups,
        "configs": {name: _configuration(name, members, settings[name]) for name, members in tasks.items()},
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": {name: setting.get("shots", 0) for name, setting in settings.items()},
        "higher_is_better": {name: _directions(members, about) for name, members in tasks.items()},
        "n-samples": {name: {"original": len(m), "effective": len(m)} for name, m in tasks.items()},
        "config": {"model": "fourfold", "model_args": {"pretrained": model}, "limit": about.get("limit")}
        | {"gen_kwargs": {}, "random_seed": about.get("seed"), "fewshot_seed": about.get("seed")},
        "date": datetime.now().timestamp(),
        "model_source": "fourfold",
        "model_name": model,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model),
        "system_instruction": None,
        "chat_template": None,
    }


def _aggregated(name: str, samples: Sequence[Record]) -> dict[str, Any]:
    values: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        for key, value in _scores(sample).items():
            values.setdefault(key, []).extend(map(float, value) if isinstance(value, list) else [float(value)])
    found: dict[str, Any] = {"alias": name, "name": name, "sample_len": len(samples)}
    for (metric, how), numbers in values.items():
        found[f"{metric},{how}"] = math.fsum(numbers) / len(numbers)
        found[f"{metric}_stderr,{how}"] = _standard_error(numbers)
    return found


def _standard_error(values: Sequence[float]) -> float | str:
    """Of the mean, as lm-eval has it; "N/A" for a single value."""
    if len(values) < 2:
        return "N/A"
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def _configuration(name: str, samples: Sequence[Record], setting: Record) -> dict[str, Any]:
    generated = samples[0]["solver"] in _GENERATED or not samples[0].get("choices")
    return {
        "task": name,
        "output_type": "generate_until" if generated else "multiple_choice",
        "num_fewshot": setting.get("shots", 0),
        "doc_to_text": setting.get("wording", {}).get(samples[0]["solver"], "{question}"),
        "metadata": {"version": 1.0, "way": samples[0]["solver"]},
    }


def _directions(samples: Sequence[Record], about: Record) -> dict[str, bool]:
    rows = [*about.get("rows", ()), *about.get("details", ())]
    lower = {row["metric"] for row in rows if not row.get("higher_is_better", True)}
    return {metric: metric not in lower for metric, _ in _scores(samples[0])}
