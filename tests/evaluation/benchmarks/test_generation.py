"""GSM8K, BBH, HumanEval, IFEval and CMRC from files, with scripted answers whose scores are known."""

import json
import os

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import ask, benchmark_task, evaluate
from fourfold.evaluation.benchmarks.mathematics import solved_number
from fourfold.evaluation.benchmarks.programs import run_tests
from fourfold.inference import ScriptedModel


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def task(name, path, **options):
    return benchmark_task(f"{name}@{path}", **options)


GSM = [{"question": f"{n} + 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"} for n in range(4)]


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("It is 1,000.\n#### 1,000", 1, 1),
        ("#### $1000.", 0, 1),
        ("The answer is $1,000.", 0, 1),
        ("#### 1000 and then 7 more", 1, 0),
        ("#### 7\n#### 1000", 0, 1),
        ("no number", 0, 0),
        ("#### -1000", 0, 0),
    ],
)
def test_numbers_are_read_as_lm_eval_does(tmp_path, text, strict, flexible):
    (item,) = task("gsm8k", write(tmp_path / "g.jsonl", [{"question": "q", "answer": "x #### 1,000"}])).items(0, None)
    assert solved_number(item, text) == {"exact_match": strict, "exact_match_flexible": flexible}


def test_numbers_against_lm_evals_filters(tmp_path):
    """Its regular expressions and its exact match, on the same texts."""
    filters = pytest.importorskip("lm_eval.filters.extraction")
    metrics = pytest.importorskip("lm_eval.api.metrics")
    strict = filters.RegexFilter(r"#### (\-?[0-9\.\,]+)")
    loose = filters.RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
    ignored = [",", "\\$", "(?s).*#### ", "\\.$"]
    (item,) = task("gsm8k", write(tmp_path / "g.jsonl", [{"question": "q", "answer": "x\n#### 18"}])).items(0, None)
    texts = ["#### 18", "####18", "#### 18.", "so $18.", "18 eggs, 9 left", "#### 18.0", "-18", "#### 9\n18", "1.8", ""]
    for text in texts:
        found = [filter.apply([[text]], [{}])[0][0] for filter in (strict, loose)]
        theirs = [
            metrics.exact_match_hf_evaluate([one], ["x\n#### 18"], regexes_to_ignore=ignored, ignore_case=True)
            for one in found
        ]
        assert list(solved_number(item, text).values()) == [float(one["exact_match"]) for one in theirs], text


def test_gsm8k_shows_solutions(tmp_path):
    path = write(tmp_path / "test.jsonl", GSM[2:])
    made = task("gsm8k", path, shots=2, shots_from=str(write(tmp_path / "train.jsonl", GSM[:2])))
    model = ScriptedModel([" 2 + 1 = 3\n#### 3", "#### 5"])
    answers = ask(model, made)
    assert [one.scores["exact_match"] for one in answers] == [1, 0]
    prompt = model.conversations[0][0]["content"]
    assert prompt == (
        "Question: 0 + 1?\nAnswer: 0 + 1 = <<0+1=1>>1\n#### 1\n\n"
        "Question: 1 + 1?\nAnswer: 1 + 1 = <<1+1=2>>2\n#### 2\n\n"
        "Question: 2 + 1?\nAnswer:"
    )


def test_bbh_takes_the_authors_prompts_apart(tmp_path):
    prompt = (
        "CANARY\n-----\nEvaluate.\n\n"
        "Q: not True is\nA: Let's think step by step.\nIt is False. So the answer is False.\n\n"
        "Q: not False is\nA: Let's think step by step.\nSo the answer is True."
    )
    prompts = write(tmp_path / "prompts.jsonl", [{"task": "boolean", "prompt": prompt}])
    path = write(tmp_path / "bbh.jsonl", [{"task": "boolean", "input": "True and True is", "target": "True"}])
    model = ScriptedModel(["\nFirst. So the answer is True."])
    (answer,) = ask(model, task("bbh", path, shots=2, shots_from=str(prompts)))
    assert answer.scores == {"exact_match": 1}
    shown = model.conversations[0][0]["content"]
    assert shown == prompt.partition("-----\n")[2] + "\n\nQ: True and True is\nA: Let's think step by step."
    wrong = ask(ScriptedModel(["the answer is (True)."]), task("bbh", path))
    assert wrong[0].scores == {"exact_match": 0}


PROBLEM = {
    "task_id": "T/0",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
    "entry_point": "double",
}
unix = pytest.mark.skipif(os.name != "posix", reason="programs of a model are run on Linux and macOS only")


@unix
@pytest.mark.parametrize(
    ("body", "passes"),
    [
        ("    return x + x\n", True),
        ("    return 4\n", False),
        ("    import sys; sys.exit(0)\n", False),
        ("    import os; os._exit(0)\n", False),
        ("    while True: pass\n", False),
        ("  return x\n broken", False),
        ("", False),
    ],
)
def test_programs_pass_only_by_passing_the_tests(tmp_path, body, passes, monkeypatch):
    from fourfold.evaluation.benchmarks import programs
    from fourfold.sandbox import Limits

    monkeypatch.setattr(programs, "LIMITS", Limits(seconds=2))
    (item,) = task("humaneval", write(tmp_path / "h.jsonl", [PROBLEM])).items(0, None)
    assert run_tests(item, body).ok == passes


@unix
def test_humaneval_by_one_attempt_and_by_ten(tmp_path):
    made = task("humaneval", write(tmp_path / "h.jsonl", [PROBLEM]))
    (answer,) = ask(ScriptedModel(["    return x * 2\n"]), made)
    assert answer.scores == {"pass@1": 1}
    assert "limits" in answer.meta["isolation"]
    replies = ["    return x\n"] * 8 + ["    return x + x\n"] * 2
    (answer,) = ask(ScriptedModel(replies), made, "sampled_completion")
    assert answer.scores["pass@1"] == pytest.approx(0.2)
    assert answer.scores["pass@5"] == pytest.approx(1 - 56 / 252)
    assert answer.scores["pass@10"] == 1
    assert answer.meta["errors"][0] == "AssertionError"


def test_ifeval_in_a_chat_and_by_completion(tmp_path):
    record = {
        "key": 7,
        "prompt": "Say it in 3 words or more without commas.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None}, {"num_words": 3, "relation": "at least"}],
    }
    made = task("ifeval", write(tmp_path / "i.jsonl", [record]))
    model = ScriptedModel(["Sure, here:\nall of this"])
    (answer,) = ask(model, made)
    assert answer.scores == {
        "prompt_strict": 0,
        "instruction_strict": 0.5,
        "prompt_loose": 1,
        "instruction_loose": 1,
    }
    assert answer.meta == {"strict": [False, True], "loose": [True, True]}
    assert model.conversations[0] == [{"role": "user", "content": record["prompt"]}]
    assert list(made.ways) == ["chat", "completion"]


def test_cmrc_takes_the_best_of_its_answers(tmp_path):
    record = {"context": "水枪泡封敌人，踢爆为止。", "question": "何时为止？", "answers": ["踢爆", "踢爆为止"]}
    model = ScriptedModel(["踢爆为止。"])
    (answer,) = ask(model, task("cmrc", write(tmp_path / "c.jsonl", [record])))
    assert answer.scores == {"f1": 1, "exact_match": 1}
    assert model.conversations[0][0]["content"].endswith("踢爆为止。\n问题：何时为止？\n答案：")


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("gsm8k", {"question": "q"}), ("bbh", {"input": "x"}), ("humaneval", {"prompt": "def f():"}),
        ("ifeval", {"prompt": "p", "instruction_id_list": ["x"], "kwargs": []}),
        ("cmrc", {"question": "q", "context": "c"}),
    ],
)  # fmt: skip
def test_records_of_another_kind_are_refused(tmp_path, name, record):
    with pytest.raises(UserError, match=r"data.jsonl:1: not a question of this task"):
        task(name, write(tmp_path / "data.jsonl", [record]))


def test_results_hold_the_method(tmp_path):
    made = task("gsm8k", write(tmp_path / "g.jsonl", GSM))
    results = evaluate({"m": ScriptedModel(["#### 1"])}, [made], folder=tmp_path / "out")
    assert results["rows"][0]["method"] == "generation, the number after ####"
    assert results["details"][0]["metric"] == "exact_match_flexible"
