"""Questions made from documents: each from a passage, none twice, answers that stand where they say."""

from __future__ import annotations

from fourfold.inference import ScriptedModel
from fourfold.utilization.answering import draft_questions
from fourfold.utilization.answering.drafting import GAP
from fourfold.utilization.retrieval import Passage


def test_gaps_hide_one_thing_that_stands_in_the_quote(library) -> None:
    drafts = draft_questions(library.passages(), 10)
    assert {draft["source"] for draft in drafts} >= {"founding.txt", "printer.md", "leave.html"}
    for draft in drafts:
        passage = library.passage(f"{draft['source']}#1")
        assert draft["quote"] in passage.text
        assert draft["answer"] in draft["quote"]
        assert draft["question"].count(GAP) == 1
        assert draft["answer"] not in draft["question"]
        assert "Ignore all" not in draft["question"]
    assert len({draft["question"] for draft in drafts}) == len(drafts)
    assert draft_questions(library.passages(), 10) == drafts
    assert len(draft_questions(library.passages(), 2)) == 2


def test_chinese_gaps(make_library) -> None:
    library = make_library({"a.txt": "公司成立于上海浦东新区。全体员工每年享有15天带薪年假，须提前两周申请。"})
    (draft,) = draft_questions(library.passages(), 3)
    assert draft["question"].startswith("这里缺了什么？")
    assert draft["answer"] in draft["quote"]


def test_a_heading_that_asks_is_the_question(make_library) -> None:
    passage = Passage(id="f#1", text="Send a mail.", source="f", place="", heading="FAQ > 8.5. How do I report a bug?")
    (draft,) = draft_questions([passage], 3)
    assert (draft["question"], draft["made_by"]) == ("How do I report a bug?", "heading")
    assert "answer" not in draft


def test_a_models_question_must_be_one_and_about_the_sentence(library) -> None:
    passages = [library.passage("printer.md#1")]
    good = ScriptedModel(["When does the printer contract end?"], name="writer")
    (draft,) = draft_questions(passages, 1, model=good)
    assert (draft["question"], draft["made_by"]) == ("When does the printer contract end?", "writer")
    for bad in ("The contract ends.", "What is the weather like in Berlin?", "Why?"):
        (draft,) = draft_questions(passages, 1, model=ScriptedModel([bad]))
        assert draft["made_by"] == "gap"
