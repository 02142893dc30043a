"""What is shown while an answer is made: never a part of a stop string, never a part of a character."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from fourfold.inference.stopping import StopText
from fourfold.tokenizers import byte_tokenizer, train_byte_bpe

BYTES = byte_tokenizer()
PIECES = train_byte_bpe(["abcabab cab 汉字汉 ab汉ab"] * 20, vocabulary_size=290)
TEXTS = st.text("abc汉é😀 ", max_size=24)


@given(text=TEXTS, stop=st.lists(st.text("abc汉é😀", min_size=1, max_size=4), max_size=3), wide=st.booleans())
@example(text="aab", stop=["ab", "b"], wide=False)
@example(text="abcabd", stop=["abd", "bcx"], wide=False)
@example(text="汉字", stop=["字"], wide=False)
def test_what_is_shown_is_the_text_before_the_first_stop_string(text, stop, wide):
    tokenizer = PIECES if wide else BYTES
    shower, shown = StopText(tokenizer.decode_stream(), stop), ""
    for id in tokenizer.encode(text):
        shown += shower.push(id)
        assert text.startswith(shown)  # no half of a character, and nothing out of order
        assert not any(part in shown for part in stop)
        if shower.stopped:
            break
    shown += shower.finish()
    assert shown == shower.text
    assert not any(part in shown for part in stop)
    if shower.stopped:
        assert any(text.startswith(shown + part) for part in stop)
    else:
        assert shown == text
        assert not any(part in text for part in stop)


@given(ids=st.lists(st.sampled_from(BYTES.encode("aé汉😀")), max_size=12))
def test_bytes_that_are_no_text_are_shown_as_the_whole_is_decoded(ids):
    shower = StopText(BYTES.decode_stream(), [])
    assert "".join(shower.push(id) for id in ids) + shower.finish() == BYTES.decode(ids)


def test_a_beginning_of_a_stop_string_is_held_back_until_it_is_certain():
    shower = StopText(BYTES.decode_stream(), ["<end>"])
    pieces = [shower.push(id) for id in BYTES.encode("a<en<end>b")]
    assert pieces[:9] == ["a", "", "", "", "<en", "", "", "", ""]
    assert (shower.text, shower.stopped, shower.finish()) == ("a<en", True, "")
