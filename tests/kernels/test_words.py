from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.kernels import WordIndex, read_words_plain

MARKS = [b"<unk>", b"<s>", b"</s>"]
PIECES = st.sampled_from([" ", "\n", "\t", "\r\n", "\x0b", "a", "ab", "<s>", "</s", "中文", "é", "▁", "\u00a0", "𝄞"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=30), max_size=4), st.booleans())
def test_reading_is_splitting_and_a_dictionary(blocks, characters):
    index = WordIndex(MARKS, characters=characters)
    known = {mark: number for number, mark in enumerate(MARKS)}
    for block in blocks:
        lines = "".join(block).encode()
        before = index.known
        looked_up, _ = index.find(lines)
        ids, ends = index.add(lines)
        assert (ids.tolist(), ends.tolist()) == read_words_plain(lines, known, characters)
        assert looked_up.tolist() == [number if number < before else -1 for number in ids.tolist()]
    assert index.words() == list(known)
    assert [index.number(word) for word in known] == list(range(len(known)))


def test_many_words_outgrow_the_table():
    index = WordIndex(MARKS)
    words = [f"word-{number * 7919 % 20011}" for number in range(30000)]
    read = []
    for start in range(0, len(words), 1000):
        read += index.add(" ".join(words[start : start + 1000]).encode())[0].tolist()
    assert [index.word(number).decode() for number in read] == words
    assert index.known == 3 + 20011


def test_words_with_white_space_are_not_one_word():
    assert WordIndex([b"a b", b"c"]).known == 3
    assert WordIndex([b"a"]).number(b"a b") == -1
