"""Sections to passages: whole, in order, of bounded length, and placed where they stand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.pretraining.corpus import normalise
from fourfold.pretraining.corpus.formats import Section
from fourfold.utilization.retrieval import Splitting
from fourfold.utilization.retrieval.passages import split

TEXT = st.text(st.sampled_from("ab中。. \n，!𠀀é"), max_size=400)


def drafts(text: str, size: int = 1200, overlap: int = 0, **section: object) -> list:
    return list(split(Section(text=text, **section), Splitting(size=size, overlap=overlap)))


@settings(deadline=None)
@given(TEXT, st.integers(4, 80))
def test_nothing_is_lost_and_nothing_too_long(text, size):
    found = drafts(text, size)
    assert "".join("".join(draft.text.split()) for draft in found) == "".join(normalise(text).split())
    assert all(len(draft.text.encode()) <= size for draft in found)


@settings(deadline=None)
@given(TEXT, st.integers(4, 80))
def test_a_passage_stands_on_the_lines_it_names(text, size):
    lines = text.split("\n")
    for draft in drafts(text, size, first=7):
        numbers = [int(number) for number in re.findall(r"\d+", draft.place)]
        named = "\n".join(lines[numbers[0] - 7 : numbers[-1] - 6])
        assert draft.text in normalise(named)
        first, last = draft.text.split("\n")[0], draft.text.split("\n")[-1]
        assert first.strip() in normalise(lines[numbers[0] - 7])
        assert last.strip() in normalise(lines[numbers[-1] - 7])


def test_cuts_at_paragraphs_before_lines_before_sentences():
    text = "One two three.\nFour five.\n\nSix seven. Eight nine ten."
    assert [draft.text for draft in drafts(text, 30)] == ["One two three.\nFour five.", "Six seven. Eight nine ten."]
    assert [one.text for one in drafts(text, 16)] == ["One two three.", "Four five.", "Six seven.", "Eight nine ten."]
    assert [draft.text for draft in drafts("第一句话。第二句话！第三句", 31)] == ["第一句话。第二句话！", "第三句"]


def test_a_han_character_weighs_three_letters():
    assert len(drafts("a" * 1200)) == 1
    assert len(drafts("中" * 400)) == 1
    assert len(drafts("中" * 401)) == 2


def test_overlap_repeats_the_end():
    found = drafts("aaaa. bbbb. cccc. dddd.", 12, overlap=6)
    assert [draft.text for draft in found] == ["aaaa. bbbb.", "bbbb. cccc.", "cccc. dddd."]


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"place": "page 3", "unit": ""}, "page 3"),
        ({"place": "sheet Budget", "unit": "row", "first": 2}, "sheet Budget, rows 2-3"),
        ({"first": 10}, "lines 10-11"),
        ({"unit": "paragraph"}, "paragraphs 1-2"),
    ],
)
def test_places(section, place):
    (draft,) = drafts("one\ntwo\n", **section)
    assert draft.place == place


def test_a_heading_alone_is_no_passage_and_stands_over_those_below():
    assert drafts("# Top\n\n", heading="Top") == []
    (draft,) = drafts("words", heading="Top > Sub")
    assert draft.searched == "Top > Sub\nwords"
