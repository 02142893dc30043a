"""lm-eval as the oracle: its own task files, with nothing changed but where the data lie.

A record is given in the hub's layout, so that both sides read the same file: lm-eval by its YAML, we by our reader.
lm-eval runs in a process of its own, without a network and with caches of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

TASKS = {
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "mmlu": "mmlu/default/mmlu_{subject}.yaml",
    "mmlu by likelihood": "mmlu/continuation/mmlu_{subject}.yaml",
    "ceval": "ceval/ceval-valid_{subject}.yaml",
    "cmmlu": "cmmlu/cmmlu_{subject}.yaml",
    "winogrande": "winogrande/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "siqa": "siqa/siqa.yaml",
    "commonsense_qa": "commonsense_qa/default.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "lambada": "lambada/lambada_openai.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
}
"""Our name to lm-eval's file."""


OWN_METRICS = ("lambada", "truthfulqa_mc2", "winogrande")
"""The others are choices, which lm-eval can also judge by bytes, as we do; acc_norm is by characters. WinoGrande's
readings it would divide by the length of their beginnings, which are not scored."""


class Asked(NamedTuple):
    """One item as lm-eval asked and judged it."""

    pairs: list[tuple[str, str]]
    log_likelihoods: list[float]
    scores: dict[str, float]


class Data(NamedTuple):
    """Files in the hub's layout, of one task (and subject)."""

    name: str
    asked: Path
    shots_from: Path | None = None
    subject: str = ""

    @property
    def task(self) -> str:
        return f"local_{self.name}_{self.subject}".replace(" ", "_")


def write_jsonl(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


class Answers(NamedTuple):
    """What lm-eval found, and how long it took without loading model and tasks."""

    asked: dict[str, list[Asked]]
    """Every item of each set in the order of the file, by the name of `Data.task`."""
    seconds: float


def ask_lm_eval(
    model: Path, sets: Sequence[Data], folder: Path, *, shots: int, dtype: str = "float32", batch_size: int = 8
) -> Answers:
    """Put the sets to a Hugging Face folder; `folder` is for task files and caches."""
    for data in sets:
        task_file(folder / "tasks", data)
    order = {"model": str(model), "tasks": [data.task for data in sets], "shots": shots, "dtype": dtype}
    (folder / "order.json").write_text(json.dumps(order | {"batch_size": batch_size}), "utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    # With 1, HF's tokenizer of many texts uses every core, as ours does.
    environment = {**os.environ, **offline, "TOKENIZERS_PARALLELISM": "1"}
    done = subprocess.run([sys.executable, __file__, str(folder)], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads((folder / "answers.json").read_text("utf-8"))
    asked = {task: [_asked(sample) for sample in samples] for task, samples in found["samples"].items()}
    return Answers(asked, found["seconds"])


def task_file(folder: Path, data: Data) -> None:
    """lm-eval's own task with local data: demonstrations are the first of their file, as in its MMLU."""
    import yaml

    original = Path(str(find_spec("lm_eval").origin)).parent / "tasks" / TASKS[data.name].format(subject=data.subject)
    files = {"test": str(data.asked)} | ({"dev": str(data.shots_from)} if data.shots_from else {})
    task: dict[str, Any] = {
        "include": str(original),
        "task": data.task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "validation_split": None,
        "training_split": None,
        "fewshot_split": "dev" if data.shots_from else None,
        "tag": None,
    }
    if data.shots_from:
        task["fewshot_config"] = {"sampler": "first_n"}
    if data.name not in OWN_METRICS:
        task["metric_list"] = [{"metric": metric} for metric in ("acc", "acc_norm", "acc_bytes")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{data.task}.yaml").write_text(yaml.safe_dump(task, allow_unicode=True), "utf-8")


def _asked(sample: Mapping[str, Any]) -> Asked:
    """Scores of one request are (nats, greedy) or nats alone."""
    found = sample["filtered_resps"]
    log_likelihoods = [float(one[0] if isinstance(one, list) else one) for one in found]
    scores = {name: float(sample[name]) for name in ("acc", "acc_bytes") if isinstance(sample.get(name), int | float)}
    return Asked([(context, choice) for context, choice in sample["arguments"]], log_likelihoods, scores)


def main(folder: Path) -> None:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    order = json.loads((folder / "order.json").read_text("utf-8"))
    peer = HFLM(pretrained=order["model"], dtype=order["dtype"], device="cpu", batch_size=order["batch_size"])
    tasks = TaskManager(include_path=str(folder / "tasks")).load_task_or_group(order["tasks"])
    for task in tasks.values():
        task.set_config(key="num_fewshot", value=order["shots"])
    began = time.perf_counter()
    results = lm_eval.evaluate(lm=peer, task_dict=tasks, log_samples=True, bootstrap_iters=0)
    seconds = time.perf_counter() - began
    samples = {task: results["samples"][task] for task in order["tasks"]}
    (folder / "answers.json").write_text(json.dumps({"samples": samples, "seconds": seconds}, default=str), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
