"""CMRC 2018: Chinese questions whose answer stands in a passage."""

from __future__ import annotations

from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data, HubData
from fourfold.evaluation.benchmarks.choices import task_of
from fourfold.evaluation.benchmarks.reading import text_of
from fourfold.evaluation.benchmarks.records import Record, refusal
from fourfold.evaluation.completions import Attempts, completion_way, single
from fourfold.evaluation.task import COMPLETION, Item, Metric, Task
from fourfold.evaluation.wording import Wording
from fourfold.measures import extract_match, extract_overlap

_EXPECTED = ('"context", "question", "answers"',)
_WORDING = Wording(
    text="文章：{passage}\n问题：{question}\n答案：", answer="{choice}", head="阅读文章，用原文中的词句回答问题。\n"
)
_EXTRACTING = Attempts(max_tokens=64, stop=("\n", "问题：", "文章："))


def _cmrc(record: Record) -> Item:
    passage, question = text_of(record, "context", "question", expected=_EXPECTED)
    answers = record.values.get("answers")
    texts = answers.get("text") if isinstance(answers, dict) else answers
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise refusal(record, _EXPECTED)
    name = str(record.values.get("id", record.line))
    return Item(id=name, prompt=question, target=texts[0], meta={"passage": passage, "answers": texts})


def extracted(item: Item, text: str) -> dict[str, float]:
    """The official metrics, the best over the accepted answers."""
    answers: list[str] = item.meta["answers"]
    return {
        "f1": max(extract_overlap(text, answer) for answer in answers),
        "exact_match": float(any(extract_match(text, answer) for answer in answers)),
    }


def _build(benchmark: Benchmark, data: Data) -> Task:
    metrics = (
        Metric(name="f1", method="generation, longest common run of characters"),
        Metric(name="exact_match", method="generation, without punctuation"),
    )
    way = completion_way(_WORDING, data.shots, judge=single(extracted), metrics=metrics, attempts=_EXTRACTING)
    return task_of(benchmark, data, {COMPLETION: way}, {COMPLETION: _WORDING.templates})


CMRC = Benchmark(
    name="cmrc",
    title="CMRC 2018",
    asks="Chinese questions answered by words of a passage",
    paper="Cui et al. 2019",
    licence="CC BY-SA 4.0",
    hub=HubData("hfl/cmrc2018"),
    read=_cmrc,
    build=_build,
    language="zh",
    split="validation",
)
