"""Problems that are reasoned out in text: GSM8K, and the tasks of BIG-Bench Hard."""

from __future__ import annotations

import re
from dataclasses import replace

from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data, HubData
from fourfold.evaluation.benchmarks.choices import task_of
from fourfold.evaluation.benchmarks.reading import text_of
from fourfold.evaluation.benchmarks.records import Record
from fourfold.evaluation.completions import Attempts, completion_way, single
from fourfold.evaluation.task import COMPLETION, Item, Metric, Task
from fourfold.evaluation.wording import Wording

MARK = "#### "
_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_LOOSE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_ANSWER_IS = re.compile(r"the answer is (.*)", re.IGNORECASE)

_SOLVING = Attempts(max_tokens=256, stop=("Question:", "</s>", "<|im_end|>"))
_SOLVED = Wording(text="Question: {question}\nAnswer:", answer=" {solution}")
"""lm-eval's gsm8k, with demonstrations whose solutions end in "#### 18"."""

_THINKING = Attempts(max_tokens=512, stop=("Q:", "\n\n"))
_STEP_BY_STEP = Wording(text="{before}Q: {question}\nA: Let's think step by step.", answer="{solution}")
_SEPARATOR = "-----\n"


def plain_number(text: str) -> str:
    """A number without thousands separators, dollar signs and the full stop after it."""
    return text.replace(",", "").replace("$", "").removesuffix(".").lower()


def solved_number(item: Item, text: str) -> dict[str, float]:
    """By lm-eval's two filters: the number after the first "####", and the last number there is."""
    target = plain_number(item.target)
    strict, loose = _STRICT.search(text), _LOOSE.findall(text)
    return {
        "exact_match": float(strict is not None and plain_number(strict[1]) == target),
        "exact_match_flexible": float(bool(loose) and plain_number(loose[-1].strip()) == target),
    }


def reasoned_answer(item: Item, text: str) -> dict[str, float]:
    """What stands after "the answer is" (Suzgun et al. 2022), to the end of its line, without the full stop."""
    found = _ANSWER_IS.search(text)
    return {"exact_match": float(found is not None and found[1].strip().removesuffix(".") == item.target.strip())}


def _gsm8k(record: Record) -> Item:
    expected = ('"question", "answer" that ends in "#### 18"',)
    question, solution = text_of(record, "question", "answer", expected=expected)
    name = str(record.values.get("id", record.line))
    return Item(id=name, prompt=question, target=solution.rpartition(MARK)[2].strip(), meta={"solution": solution})


def _build_gsm8k(benchmark: Benchmark, data: Data) -> Task:
    metrics = (
        Metric(name="exact_match", method="generation, the number after ####"),
        Metric(name="exact_match_flexible", method="generation, the last number"),
    )
    way = completion_way(_SOLVED, data.shots, judge=single(solved_number), metrics=metrics, attempts=_SOLVING)
    return task_of(benchmark, data, {COMPLETION: way}, {COMPLETION: _SOLVED.templates})


def _bbh(record: Record) -> Item:
    question, target = text_of(record, "input", "target", expected=('"input", "target" and "task"',))
    task = str(record.values.get("task") or record.subject)
    name = str(record.values.get("id", f"{task}/{record.line}"))
    meta = {"subject": task, "before": "", "solution": f"\nSo the answer is {target}."}
    return Item(id=name, prompt=question, target=target, meta=meta)


def worked_examples(record: Record) -> list[Item]:
    """The examples of one chain-of-thought prompt as the authors publish it, {"task", "prompt"}, or a solved question.

    The task's description, which stands before the first question, stays before the first example.
    """
    if "prompt" not in record.values:
        return [_bbh(record)]
    task, prompt = text_of(record, "task", "prompt", expected=('"task", "prompt" with lines "Q: " and "A: "',))
    head, *blocks = re.split(r"^Q: ", prompt.partition(_SEPARATOR)[2] or prompt, flags=re.MULTILINE)
    examples = []
    for number, block in enumerate(blocks):
        question, _, solution = block.strip().partition("\nA: Let's think step by step.")
        answer = _ANSWER_IS.search(solution)
        meta = {"subject": task, "before": head if number == 0 else "", "solution": solution}
        examples.append(Item(id=f"{task}/{number}", prompt=question, target=answer[1] if answer else "", meta=meta))
    return examples


def _build_bbh(benchmark: Benchmark, data: Data) -> Task:
    metrics = (Metric(name="exact_match", method="generation, what follows 'the answer is'"),)
    way = completion_way(_STEP_BY_STEP, data.shots, judge=single(reasoned_answer), metrics=metrics, attempts=_THINKING)
    return task_of(benchmark, data, {COMPLETION: way}, {COMPLETION: _STEP_BY_STEP.templates})


GSM8K = Benchmark(
    name="gsm8k",
    title="GSM8K",
    asks="word problems of grade school, reasoned out step by step",
    paper="Cobbe et al. 2021",
    licence="MIT",
    hub=HubData("openai/gsm8k", "main"),
    read=_gsm8k,
    build=_build_gsm8k,
    shots_splits=("train",),
)

BBH = replace(
    GSM8K,
    name="bbh",
    title="BIG-Bench Hard",
    asks="27 tasks on which language models were behind people",
    paper="Suzgun et al. 2022",
    hub=HubData("lukaemon/bbh"),
    read=_bbh,
    build=_build_bbh,
    worked=worked_examples,
)

MATHEMATICS = (GSM8K, BBH)
