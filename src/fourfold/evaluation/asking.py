"""Scores of `fourfold ask` on a user's own questions: was the place found, was the answer right, was a no in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fourfold.evaluation.cells import FORMAT, Cell, kept_or_made
from fourfold.evaluation.questions import Question
from fourfold.evaluation.rows import LEVEL, Row, metric_numbers
from fourfold.evaluation.task import Metric
from fourfold.files import hash_value, write_json, write_jsonl
from fourfold.inference import ChatModel
from fourfold.measures import exact_match, ngram_overlap, normalise_answer, words_of
from fourfold.progress import track
from fourfold.utilization.answering import THRESHOLD, Answer, Library, answer_question, find_quote
from fourfold.utilization.retrieval import Method

RETRIEVAL = (Metric(name="reciprocal_rank"), Metric(name="hit_at_1"), Metric(name="hit_at_3"), Metric(name="hit_at_k"))
ANSWERS = (Metric(name="contains"), Metric(name="f1"), Metric(name="exact_match"))
"""Over questions with known answers, and over those without one, where a no is the right answer."""
CITATIONS = (Metric(name="citations_stand"), Metric(name="cites_the_source"))
"""Over answered questions: whether every quote is in its passage, and whether one is of the place that answers."""
REFUSALS = (Metric(name="false_refusal", higher_is_better=False), Metric(name="false_answer", higher_is_better=False))


class AskSetting(NamedTuple):
    """How the questions are answered."""

    model: ChatModel | None
    label: str
    """The model's reference, or "quotes"."""
    k: int = 8
    method: Method = "bm25"
    threshold: float = THRESHOLD

    @property
    def name(self) -> str:
        return f"{self.label}, {self.method}"


def score_questions(
    questions: Sequence[Question],
    library: Library,
    setting: AskSetting,
    *,
    folder: Path,
    name: str = "documents",
    seed: int = 0,
) -> dict[str, Any]:
    """Answer and score all questions; writes `results.json` and `samples.jsonl` into `folder`, returns the results.

    Every answer is kept as it comes: run again after a kill or a lost connection, and only the rest is asked. The
    samples are of two tasks, `NAME/retrieval` (reciprocal rank) and `NAME/answers` (the answer contains an accepted
    one, or is a right no), so that `compare` sets two such folders beside each other.
    """
    documents = library.fingerprint()
    samples: list[dict[str, Any]] = []
    for question in track(questions, "questions", unit="questions"):
        content = {**asdict(question), "answers": list(question.answers)}  # as it is read back from JSON
        key = {"format": FORMAT, "question": content, "documents": documents, "seed": seed}
        key |= {"setting": [setting.label, setting.k, setting.method, setting.threshold]}
        cell = kept_or_made(folder, key, partial(_cell, question, library, setting))
        samples += [_sample(question, setting, name, task, cell) for task in cell["scores"]]
    results = {
        "rows": _rows(samples, setting, name, seed),
        "level": LEVEL,
        "seed": seed,
        "threshold": setting.threshold,
        "models": [{"name": setting.name, "label": setting.label, "hash": None}],
        "data": {name: {"n": len(questions), "hash": hash_value(list(map(asdict, questions))), "documents": documents}},
    }
    write_jsonl(folder / "samples.jsonl", samples)
    write_json(folder / "results.json", results)
    return results


def _cell(question: Question, library: Library, setting: AskSetting) -> Cell:
    answer = answer_question(
        question.question, library, model=setting.model, k=setting.k, method=setting.method, threshold=setting.threshold
    )
    scores = {}
    if question.has_place:
        scores["retrieval"] = _retrieval_scores(question, answer)
    if question.answers or not question.answerable:
        scores["answers"] = _answer_scores(question, answer, library)
    return {
        "scores": scores,
        "output": answer.text,
        "meta": {
            "answered": answer.answered,
            "confidence": answer.evidence.confidence,
            "found": [hit.passage.id for hit in answer.hits],
            "citations": [
                {"source": c.passage.source, "place": c.passage.place, "quote": c.quote} for c in answer.citations
            ],
            "dropped": list(answer.dropped),
            "seconds": answer.seconds,
        },
    }


def _retrieval_scores(question: Question, answer: Answer) -> dict[str, float]:
    rank = next((rank for rank, hit in enumerate(answer.hits, 1) if question.is_found_in(hit.passage)), None)
    hits = {f"hit_at_{n}": float(rank is not None and rank <= n) for n in (1, 3)}
    return {"reciprocal_rank": 1 / rank if rank else 0.0, **hits, "hit_at_k": float(rank is not None)}


def _answer_scores(question: Question, answer: Answer, library: Library) -> dict[str, float]:
    if not question.answerable:
        refused = float(not answer.answered)
        return {"f1": refused, "exact_match": refused, "contains": refused, "false_answer": 1 - refused}
    said = answer.text
    scores = {
        "f1": max(word_f1(said, right) for right in question.answers),
        "exact_match": float(exact_match(said, question.answers)),
        "contains": float(any(normalise_answer(right) in normalise_answer(said) for right in question.answers)),
        "false_refusal": float(not answer.answered),
    }
    if answer.answered:
        standing = [find_quote(c.quote, library.passage(c.passage.id).text) for c in answer.citations]
        scores["citations_stand"] = float(all(found is not None and found.how == "verbatim" for found in standing))
        if question.has_place:
            scores["cites_the_source"] = float(any(question.is_found_in(c.passage) for c in answer.citations))
    return scores


def word_f1(said: str, right: str) -> float:
    """SQuAD's F1 (Rajpurkar et al. 2016): shared words of the normalised texts; a Han character is a word."""
    return ngram_overlap(words_of(normalise_answer(said)), words_of(normalise_answer(right)))


def _sample(question: Question, setting: AskSetting, name: str, task: str, cell: Cell) -> dict[str, Any]:
    scores: Mapping[str, float] = cell["scores"][task]
    primary = {"retrieval": RETRIEVAL, "answers": ANSWERS}[task][0].name
    output = cell["output"] if task == "answers" else " ".join(cell["meta"]["found"][:1])
    target = "".join(question.answers[:1]) if task == "answers" else question.source or question.quote
    return {
        "model": setting.name,
        "task": f"{name}/{task}",
        "solver": "ask",
        "id": question.id,
        "prompt": question.question,
        "output": output,
        "target": target,
        "score": scores[primary],
        "scores": scores,
        "hash": hash_value([question.question, list(question.answers), question.source, question.quote])[:16],
        "meta": cell["meta"],
    }


def _rows(samples: Sequence[Mapping[str, Any]], setting: AskSetting, name: str, seed: int) -> list[Row]:
    """One row a metric, over the questions it applies to."""
    rows = []
    for task, metrics in (("retrieval", RETRIEVAL), ("answers", (*ANSWERS, *CITATIONS, *REFUSALS))):
        for metric in metrics:
            scores = [sample["scores"] for sample in samples if sample["task"] == f"{name}/{task}"]
            values = [score[metric.name] for score in scores if metric.name in score]
            if values:
                head = {"model": setting.name, "label": setting.label, "task": f"{name}/{task}", "solver": "ask"}
                rows.append(head | {"method": setting.method} | metric_numbers(metric, values, seed))
    return rows
