"""What stands in a source and what does not: hand-made cases, planted falsehoods, and a slow search as oracle."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.utilization.answering import find_quote, find_support, sentences

SOURCE = (
    "Debian was founded in 1993 by Ian Murdock.\nThe stable release is bullseye, which holds 59,551 packages. "
    "Users cannot upgrade two releases at once. Mirrors in Berlin are updated\nfour times a day."
)
CHINESE = (
    "Debian 项目由伊恩·默多克于1993年发起。稳定版的代号是“bullseye”，包含59551个软件包。用户不能跨越两个版本升级。"
)


def test_sentences_are_slices_of_the_text() -> None:
    for text in (SOURCE, CHINESE, "a. b\n\n* one\n* two\n3) three", "Dr. Who, e.g. in 12. 5 cases. End"):
        for sentence in sentences(text):
            assert text[sentence.start : sentence.end] == sentence.text == sentence.text.strip() != ""
    assert [s.text for s in sentences(CHINESE)][1] == "稳定版的代号是“bullseye”，包含59551个软件包。"
    assert [s.text for s in sentences("Dr. Who left. He said so!")] == ["Dr. Who left.", "He said so!"]


@given(st.text(max_size=200))
def test_no_letter_is_lost_between_sentences(text: str) -> None:
    parts = sentences(text)
    assert "".join("".join(p.text.split()) for p in parts) == "".join(text.split())
    assert all(a.end <= b.start for a, b in itertools.pairwise(parts))


def test_a_quote_stands_verbatim_or_normalised() -> None:
    found = find_quote("founded in 1993", SOURCE)
    assert found is not None
    assert (found.how, SOURCE[found.start : found.end]) == ("verbatim", "founded in 1993")
    found = find_quote("mirrors in berlin are  updated four times", SOURCE)
    assert found is not None
    assert found.how == "normalised"
    assert SOURCE[found.start : found.end] == "Mirrors in Berlin are updated\nfour times"
    assert find_quote('代号是"bullseye",包含５９５５１个', CHINESE) is not None
    assert find_quote("founded in 1994", SOURCE) is None
    assert find_quote("", SOURCE) is None


@given(st.text(alphabet="aB ﬁ“é\n,1", min_size=1, max_size=40), st.integers(0, 39), st.integers(1, 40))
def test_every_piece_of_a_text_stands_in_it_where_it_was_cut(text: str, start: int, length: int) -> None:
    piece = text[start : start + length].strip()
    found = find_quote(piece, text)
    if piece:
        assert found is not None
        assert text[found.start : found.end] == piece


@pytest.mark.parametrize(
    "claim",
    [
        "Debian was founded in 1993 by Ian Murdock.",
        "Ian Murdock founded Debian in 1993.",
        "The stable release bullseye holds 59,551 packages.",
        "Users cannot upgrade two releases at once.",
    ],
)
def test_true_sentences_find_their_support(claim: str) -> None:
    found = find_support(claim, SOURCE)
    assert found is not None
    words = {word.strip(".,").lower() for word in claim.split()}
    assert len(words & {word.strip(".,").lower() for word in SOURCE[found.start : found.end].split()}) >= len(words) - 1


@pytest.mark.parametrize(
    "claim",
    [
        "Debian was founded in 1994 by Ian Murdock.",  # another number
        "Debian was founded in 1993 by Linus Torvalds.",  # another name
        "Debian was not founded in 1993 by Ian Murdock.",  # negated
        "Users can upgrade two releases at once.",  # the negation dropped
        "The stable release bullseye holds 59,552 packages.",
        "Mirrors in Paris are updated four times a day.",
        "The weather in Berlin is fine.",
        "Yes.",
        "1993.",
        "It is.",
    ],
)
def test_planted_falsehoods_find_none(claim: str) -> None:
    assert find_support(claim, SOURCE) is None


@pytest.mark.parametrize(
    ("claim", "stands"),
    [
        ("Debian 项目由伊恩·默多克于1993年发起。", True),
        ("Debian 项目于1993年由伊恩·默多克发起。", True),
        ("Debian 项目由伊恩·默多克于1994年发起。", False),
        ("用户能跨越两个版本升级。", False),
        ("稳定版包含59551个软件包。", True),
        ("今天天气很好。", False),
    ],
)
def test_chinese_sentences(claim: str, stands: bool) -> None:
    assert (find_support(claim, CHINESE) is not None) == stands


def test_a_quote_is_widened_to_its_sentence_and_never_cuts_a_word() -> None:
    found = find_support("by Ian Murdock", SOURCE)
    assert found is not None
    assert SOURCE[found.start : found.end] == "Debian was founded in 1993 by Ian Murdock."
    assert find_support("release is bull", SOURCE) is None
