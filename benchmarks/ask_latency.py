"""How long a question takes, and how much of what a model writes stands in the documents.

    python benchmarks/ask_latency.py DIR --questions QUESTIONS.jsonl [--model smollm2] [--limit 40]

DIR is indexed as `fourfold ask DIR` does. Printed: median and 95th percentile of the seconds from question to quotes
and, with a model, of wording the answer; and of the questions that were answered, for how many the model wrote a
sentence that stands in a source, with a 95 % Wilson interval.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import cast

import numpy as np

import fourfold
from fourfold.evaluation import read_questions
from fourfold.inference import ChatModel
from fourfold.measures import wilson_interval
from fourfold.utilization.answering import Answer, answer_question
from fourfold.utilization.retrieval import open_index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--model", help="a model reference; without it, quotes only")
    parser.add_argument("--limit", type=int, default=40)
    options = parser.parse_args()
    asked = [question.question for question in read_questions(options.questions)]
    asked = random.Random(0).sample(asked, min(options.limit, len(asked)))
    model = cast(ChatModel, fourfold.load(options.model)) if options.model else None
    answers: list[Answer] = []
    with open_index(options.folder) as index:
        print(index.update())
        for question in asked:
            answers.append(answer_question(question, index, model=model))
            if model is not None:
                print(question, "|", answers[-1].text, "|", *answers[-1].dropped, flush=True)
    answered = [answer for answer in answers if answer.answered]
    show("finding", [answer.seconds["finding"] for answer in answers])
    if model is not None:
        show("wording", [answer.seconds["wording"] for answer in answered])
        kept = sum(any(one.by_model for one in answer.statements) for answer in answered)
        rate, low, high, _ = wilson_interval(kept, len(answered))
        written = [sum(one.by_model for one in answer.statements) for answer in answered]
        dropped = [len(answer.dropped) for answer in answered]
        print(f"a sentence kept: {rate:.0%} ({low:.0%}–{high:.0%}) of {len(answered)} answered questions")
        print(f"sentences kept: {sum(written)} of {sum(written) + sum(dropped)}")


def show(what: str, seconds: list[float]) -> None:
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    print(f"{what}: p50 {p50:.3f} s, p95 {p95:.3f} s, n = {len(seconds)}")


if __name__ == "__main__":
    main()
