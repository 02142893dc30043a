from hypothesis import given
from hypothesis import strategies as st

from fourfold.measures import (
    contains_keyword,
    exact_match,
    last_number,
    ngram_overlap,
    normalise_answer,
    numbers_in,
    numeric_equal,
    words_of,
)


def test_squad_normalisation():
    # the examples of the official script's behaviour: case, articles, punctuation, space
    assert normalise_answer("The  Eiffel-Tower, a   tower.") == "eiffeltower tower"
    assert exact_match("the Paris!", ["London", "paris"])
    assert not exact_match("Parisian", "Paris")
    assert exact_match("北京。", "北京")
    assert normalise_answer("ＡＢＣ") == "abc"


def test_numbers():
    assert numbers_in("3 + 4 = 7, or -2.5e3") == ["3", "4", "7", "-2.5e3"]
    assert numbers_in("3-4") == ["3", "4"]
    assert numbers_in("1,234,567.5 and 12,34") == ["1,234,567.5", "12", "34"]
    assert last_number("答案是96903。") == "96903"
    assert last_number("x2 is a name") is None
    assert last_number("") is None


def test_numeric_equality():
    assert numeric_equal("333 × 291 = 96,903.", 96903)
    assert numeric_equal("the answer is 0.30", "0.3")
    assert not numeric_equal("96903 or 5", 96903)
    assert not numeric_equal("no number", 1)
    assert numeric_equal("about 3.1416", "3.14159", tolerance=1e-4)
    assert not numeric_equal(f"{10**30}", f"{10**30 + 1}")


def test_keywords():
    assert contains_keyword("It scatters Blue light.", ["blue"])
    assert not contains_keyword("bluebird", ["blue"])
    assert contains_keyword("首都是北京。", ["北京"])
    assert contains_keyword("水H2O", ["H2O"])


def test_overlap():
    assert words_of("Hello, 世界 42!") == ["hello", "世", "界", "42"]
    # ROUGE-1 by hand: 2 shared of 3 and 4 → 2·2/7
    assert ngram_overlap(["a", "b", "c"], ["a", "c", "d", "e"]) == 4 / 7
    assert ngram_overlap(["a", "b", "c"], ["a", "b", "d"], order=2) == 0.5
    assert ngram_overlap([], ["a"]) == 0


@given(st.text(), st.text())
def test_overlap_is_symmetric_and_bounded(a, b):
    left, right = words_of(a), words_of(b)
    assert ngram_overlap(left, right) == ngram_overlap(right, left)
    assert 0 <= ngram_overlap(left, right) <= 1


@given(st.text(st.characters(codec="ascii")))
def test_case_and_a_full_stop_never_matter(text):
    assert exact_match(text.upper(), [f"{text.lower()}."])
