from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.kernels import WordReader, read_words_plain

MARKS = [b"<unk>", b"<s>", b"</s>"]
PIECES = st.sampled_from([" ", "\n", "\t", "\r\n", "\x0b", "a", "ab", "<s>", "</s", "中文", "é", "▁", "\u00a0", "𝄞"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=30), max_size=4), st.booleans())
def test_reading_is_splitting_and_a_dictionary(blocks, characters):
    reader = WordReader(MARKS, characters=characters)
    known = {mark: index for index, mark in enumerate(MARKS)}
    for block in blocks:
        lines = "".join(block).encode()
        ids, ends = reader.read(lines)
        wanted = read_words_plain(lines, known, characters, len(MARKS))
        assert (ids.tolist(), ends.tolist()) == wanted
    assert reader.words() == list(known)


def test_many_words_outgrow_the_table():
    reader = WordReader(MARKS)
    words = [f"word-{number * 7919 % 20011}" for number in range(30000)]
    read = [number for start in range(0, 30000, 1000) for number in reader.read(" ".join(words[start : start + 1000]).encode())[0]]
    names = reader.words()
    assert [names[number].decode() for number in read] == words
    assert len(names) == 3 + 20011


def test_marks_in_the_text_are_counted():
    reader = WordReader(MARKS)
    ids, ends = reader.read(b"<s> a <unk> b </s>\n</s>\na")
    assert (ids.tolist(), ends.tolist(), reader.skipped) == ([3, 4, 3], [2, 2, 3], 4)
