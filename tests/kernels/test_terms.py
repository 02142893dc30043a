"""Terms in bulk, hashed, against terms one by one as strings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.kernels import count_terms_plain, hash_term
from fourfold.utilization.retrieval import terms_of
from fourfold.utilization.retrieval.terms import count_terms_of

SCRIPTS = st.characters(exclude_categories=["Cs"])
TRICKY = st.sampled_from(
    "sSß\u0301éﬁ½İΐ①Ａ中国國カか\u3099ｶ한\u1112\u1161\u11ab\u093f\u0915\u093cกำ \n\0'_-\u00ad\u200d𠀀\U0002f801\ufe0f\U000e0100"
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.one_of(SCRIPTS, TRICKY), max_size=40), max_size=4))
def test_counting_in_bulk_is_counting_strings(texts):
    for fast, plain in zip(count_terms_of(texts), count_terms_plain([terms_of(text) for text in texts]), strict=True):
        np.testing.assert_array_equal(fast, plain)
        assert fast.dtype == plain.dtype


def test_hash_is_fnv_1a():
    # Published for bytes; for ASCII, code points are the bytes.
    assert hash_term("") == 0xCBF29CE484222325
    assert hash_term("a") == 0xAF63DC4C8601EC8C
    assert hash_term("foobar") == 0x85944171F73967E8


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Straße, the CAFÉ!", ["the", "strasse", "the", "cafe"]),
        ("open_index(3.11)", ["open", "index", "3", "11"]),
        ("自然語言處理", ["自然", "然语", "语言", "言处", "处理"]),
        ("用Python写，猫", ["用", "python", "写", "猫"]),
        ("ＡＢＣ１２３", ["abc123"]),
        ("東京タワー", ["东京", "京タ", "タワ", "ワー"]),
        ("naïve", ["naive"]),
        ("葛\U000e0101城市\ufe0f", ["葛城", "城市"]),
        ("", []),
    ],
)
def test_terms_by_example(text, terms):
    assert terms_of(text) == terms


def test_traditional_and_simplified_are_one():
    opencc = pytest.importorskip("opencc")
    simplified = "这个问题关系到国家发展与后来历史上的头发"
    traditional = opencc.OpenCC("s2t").convert(simplified)
    assert traditional != simplified
    assert terms_of(traditional) == terms_of(simplified)
