"""What we export, lm-eval's own functions and the reader of its files take for lm-eval's."""

import json
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import benchmark_task, compare, evaluate, export_lm_eval, read_results
from fourfold.inference import ScriptedModel


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture
def evaluated(tmp_path):
    """ARC by likelihood, MMLU of two subjects by letters, GSM8K and IFEval by generation."""
    arc = [{"question": f"which {n}?", "choices": ["a long one", "it", "that"], "answer": n % 3} for n in range(6)]
    mmlu = [
        {"question": f"{s} {n}?", "choices": ["w", "x", "y", "z"], "answer": n, "subject": s}
        for s in ("law", "art")
        for n in range(3)
    ]
    gsm = [{"question": f"{n}+1", "answer": f"so\n#### {n + 1}"} for n in range(3)]
    ifeval = {
        "prompt": "No commas, but quotes.",
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    }
    tasks = [
        benchmark_task(f"{name}@{write(tmp_path / f'{name}.jsonl', records)}")
        for name, records in (("arc_easy", arc), ("mmlu", mmlu), ("gsm8k", gsm), ("ifeval", [ifeval]))
    ]
    model = ScriptedModel(["it is 2, or\n#### 2"])
    results = evaluate({"org/model": model}, tasks, folder=tmp_path / "ours")
    (place,) = export_lm_eval(tmp_path / "ours", tmp_path / "theirs")
    return results, tmp_path / "ours", place


def test_the_aggregated_file(evaluated):
    results, _, place = evaluated
    assert place.name == "org__model"
    about = json.loads(next(place.glob("results_*.json")).read_text("utf-8"))
    ours = {(row["task"], row["metric"]): row["value"] for row in [*results["rows"], *results["details"]]}
    theirs = about["results"]
    assert theirs["arc_easy"]["acc,none"] == ours["arc_easy", "accuracy_raw"]
    assert theirs["arc_easy"]["acc_bytes,none"] == ours["arc_easy", "accuracy"]
    assert theirs["gsm8k"]["exact_match,flexible-extract"] == ours["gsm8k", "exact_match_flexible"] == 1 / 3
    assert theirs["mmlu"]["acc,none"] == pytest.approx(1 / 3)
    assert about["group_subtasks"] == {"mmlu": ["mmlu_law", "mmlu_art"]}
    assert theirs["ifeval"]["prompt_level_strict_acc,none"] == 0
    assert theirs["ifeval"]["inst_level_strict_acc,none"] == 0
    assert theirs["mmlu_law"]["acc_stderr,none"] == pytest.approx((2 / 9 / 2) ** 0.5)


def test_our_reader_takes_it_back(evaluated):
    _, ours, place = evaluated
    back = {(s.task, s.question): s for s in read_results(place).samples}
    for sample in read_results(ours).samples:
        task = f"{sample.task}_{sample.subject}" if sample.subject else sample.task
        assert back[task, sample.question].output == sample.output or sample.choices
        assert back[task, sample.question].choices == sample.choices
    result = compare(ours, place)
    assert [row["task"] for row in result["rows"]] == ["arc_easy", "mmlu", "gsm8k", "ifeval"]
    assert all(row["difference"] == row["unpaired"] == 0 for row in result["rows"])


def test_lm_evals_own_functions_read_it(evaluated):
    utils = pytest.importorskip("lm_eval.utils")
    _, _, place = evaluated
    names = [str(file) for file in place.iterdir()]
    (latest,) = utils.get_results_filenames(names)
    assert utils.get_latest_filename(names) in names
    tasks = {utils.get_file_task_name(Path(name).name) for name in utils.get_sample_results_filenames(names)}
    assert tasks == {"arc_easy", "mmlu_law", "mmlu_art", "gsm8k", "ifeval"}
    with open(latest, encoding="utf-8") as stream:
        table = utils.make_table(json.load(stream))
    assert "flexible-extract" in table
    assert "mmlu_law" in table


def test_every_line_loads_as_one_table(evaluated):
    datasets = pytest.importorskip("datasets")
    for file in evaluated[2].glob("samples_*.jsonl"):
        with open(file, encoding="utf-8") as stream:
            lines = [json.loads(line) for line in stream]
        assert datasets.Dataset.from_list(lines).num_rows == len(lines)


def test_no_results(tmp_path):
    with pytest.raises(UserError, match="no results of `evaluate` here"):
        export_lm_eval(tmp_path, tmp_path / "out")
