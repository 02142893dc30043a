"""Benchmarks of everyday sense: people, things, pronouns, what happens next."""

from __future__ import annotations

import re

from fourfold.evaluation.benchmarks.benchmark import Benchmark, HubData
from fourfold.evaluation.benchmarks.choices import WITH_LETTERS, choices
from fourfold.evaluation.benchmarks.reading import PLAIN, made, number_of, read_choices, text_of
from fourfold.evaluation.benchmarks.records import Record, refusal
from fourfold.evaluation.task import LETTERS, Item
from fourfold.evaluation.wording import Wording


def _winogrande(record: Record) -> Item:
    """The sentence is cut at its blank "_"."""
    expected = ('"sentence", "option1", "option2", "answer"', PLAIN)
    if "sentence" in record.values:
        sentence, *options = text_of(record, "sentence", "option1", "option2", expected=expected)
        answer = number_of(record, "answer", options, first=1)
    else:
        item = read_choices(record)
        sentence, options, answer = item.prompt, list(item.choices), item.answer or 0
    before, blank, after = sentence.partition("_")
    if not blank:
        raise refusal(record, ('a sentence with a blank "_"',))
    return made(record, sentence, options, answer, before=before, after=after.strip())


def _piqa(record: Record) -> Item:
    if "choices" in record.values:
        return read_choices(record)
    expected = ('"goal", "sol1", "sol2", "label"', PLAIN)
    goal, *solutions = text_of(record, "goal", "sol1", "sol2", expected=expected)
    return made(record, goal, solutions, number_of(record, "label", solutions))


def _siqa(record: Record) -> Item:
    """In the plain form, "context" stands beside the question or the question holds both."""
    if "choices" in record.values:
        item = read_choices(record)
        context = str(record.values.get("context", ""))
        return made(record, f"{context} {item.prompt}".strip(), item.choices, item.answer or 0)
    expected = ('"context", "question", "answerA", "answerB", "answerC", "label"', PLAIN)
    columns = ("context", "question", "answerA", "answerB", "answerC")
    context, question, *answers = text_of(record, *columns, expected=expected)
    return made(record, f"{context} {question}", answers, number_of(record, "label", answers, first=1))


def _hellaswag(record: Record) -> Item:
    """Activity, context and endings without the marks that WikiHow's pages left in them."""
    if "choices" in record.values:
        return read_choices(record)
    expected = ('"activity_label", "ctx_a", "ctx_b", "endings", "label"', PLAIN)
    activity, first, second = text_of(record, "activity_label", "ctx_a", "ctx_b", expected=expected)
    endings = record.values.get("endings")
    if not isinstance(endings, list) or not all(isinstance(ending, str) for ending in endings):
        raise refusal(record, expected)
    question = _without_marks(f"{activity}: {first} {second.capitalize()}")
    return made(record, question, [_without_marks(one) for one in endings], number_of(record, "label", endings))


def _without_marks(text: str) -> str:
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


WINOGRANDE = Benchmark(
    name="winogrande",
    title="WinoGrande",
    asks="which of two names a pronoun's place means, scored on what follows the blank (partial evaluation)",
    paper="Sakaguchi et al. 2020",
    licence="CC BY 4.0",
    hub=HubData("allenai/winogrande", "winogrande_xl"),
    read=_winogrande,
    build=choices(Wording(text="{before}{choice}", answer=" {after}"), first="accuracy_raw"),
    split="validation",
)

PIQA = Benchmark(
    name="piqa",
    title="PIQA",
    asks="how things are done with things",
    paper="Bisk et al. 2020",
    licence="AFL-3.0",
    hub=HubData("baber/piqa"),
    read=_piqa,
    build=choices(),
    split="validation",
)

SIQA = Benchmark(
    name="siqa",
    title="Social IQa",
    asks="why people do what they do, and what comes of it",
    paper="Sap et al. 2019",
    licence="not stated",
    hub=HubData("lighteval/siqa"),
    read=_siqa,
    build=choices(Wording(text="Q: {question}\nA:", answer=" {choice}"), first="accuracy_raw"),
    split="validation",
)

COMMONSENSE_QA = Benchmark(
    name="commonsense_qa",
    title="CommonsenseQA",
    asks="relations of everyday concepts, five choices",
    paper="Talmor et al. 2019",
    licence="MIT",
    hub=HubData("tau/commonsense_qa"),
    read=read_choices,
    build=choices(
        Wording(text="Question: {stripped}\nAnswer:", answer=" {choice}"),
        Wording(text=f"Question: {WITH_LETTERS.text}", answer=WITH_LETTERS.answer),
        own=LETTERS,
    ),
    split="validation",
)

HELLASWAG = Benchmark(
    name="hellaswag",
    title="HellaSwag",
    asks="how a described scene goes on",
    paper="Zellers et al. 2019",
    licence="MIT",
    hub=HubData("Rowan/hellaswag"),
    read=_hellaswag,
    build=choices(Wording(text="{question}", answer=" {choice}")),
    split="validation",
)

COMMONSENSE = (WINOGRANDE, PIQA, SIQA, COMMONSENSE_QA, HELLASWAG)
