"""Benchmarks of knowledge: school science, exams of many subjects, in English and Chinese."""

from __future__ import annotations

from dataclasses import replace

from fourfold.evaluation.benchmarks.benchmark import Benchmark, HubData
from fourfold.evaluation.benchmarks.choices import QUESTION, WITH_LETTERS, WITH_LETTERS_ZH, choices
from fourfold.evaluation.benchmarks.reading import by_subject, chinese_field, read_choices
from fourfold.evaluation.task import LETTERS
from fourfold.evaluation.wording import Wording

_STRIPPED = replace(QUESTION, text="Question: {stripped}\nAnswer:")

ARC_EASY = Benchmark(
    name="arc_easy",
    title="ARC-Easy",
    asks="science questions of grade school that simple methods answer",
    paper="Clark et al. 2018",
    licence="CC BY-SA 4.0",
    hub=HubData("allenai/ai2_arc", "ARC-Easy"),
    read=read_choices,
    build=choices(),
)

ARC_CHALLENGE = replace(
    ARC_EASY,
    name="arc_challenge",
    title="ARC-Challenge",
    asks="science questions of grade school that retrieval and co-occurrence get wrong",
    hub=HubData("allenai/ai2_arc", "ARC-Challenge"),
)

OPENBOOKQA = Benchmark(
    name="openbookqa",
    title="OpenBookQA",
    asks="elementary science facts put to use",
    paper="Mihaylov et al. 2018",
    licence="Apache-2.0",
    hub=HubData("allenai/openbookqa", "main"),
    read=read_choices,
    build=choices(Wording(text="{question}", answer=" {choice}")),
)

MMLU = Benchmark(
    name="mmlu",
    title="MMLU",
    asks="exam questions of 57 subjects",
    paper="Hendrycks et al. 2021",
    licence="MIT",
    hub=HubData("cais/mmlu", "all"),
    read=by_subject(),
    build=choices(
        replace(_STRIPPED, head="The following are questions (with answers) about {field}.\n\n"),
        replace(WITH_LETTERS, head="The following are multiple choice questions (with answers) about {field}.\n\n"),
        own=LETTERS,
    ),
    shots_splits=("dev",),
)

CEVAL = Benchmark(
    name="ceval",
    title="C-Eval",
    asks="Chinese exam questions of 52 subjects",
    paper="Huang et al. 2023",
    licence="CC BY-NC-SA 4.0",
    hub=HubData("ceval/ceval-exam"),
    read=by_subject(chinese_field("ceval")),
    build=choices(
        Wording(text="问题：{stripped}\n答案：", answer="{choice}"),
        replace(WITH_LETTERS_ZH, head="以下是中国关于{field}的单项选择题，请选出其中的正确答案。\n\n"),
        own=LETTERS,
    ),
    language="zh",
    split="validation",
    shots_splits=("dev",),
)

CMMLU = replace(
    CEVAL,
    name="cmmlu",
    title="CMMLU",
    asks="Chinese exam questions of 67 subjects",
    paper="Li et al. 2023",
    licence="CC BY-NC 4.0",
    hub=HubData("haonan-li/cmmlu", revision="refs/convert/parquet"),
    read=by_subject(chinese_field("cmmlu")),
    build=choices(
        Wording(text="问题：{stripped}\n答案：", answer="{choice}"),
        replace(WITH_LETTERS_ZH, head="以下是关于{field}的单项选择题，请直接给出正确答案的选项。\n\n"),
        own=LETTERS,
    ),
    split="test",
)

KNOWLEDGE = (ARC_EASY, ARC_CHALLENGE, OPENBOOKQA, MMLU, CEVAL, CMMLU)
