import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.kernels import WordIndex, read_words_plain
from fourfold.kernels.words import EMPTY

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


def test_words_of_another_index_are_taken_up_in_its_order():
    index, other = WordIndex([*MARKS, b"a", b"b"]), WordIndex([*MARKS, b"c", b"a"])
    assert index.absorb(other).tolist() == [0, 1, 2, 5, 3]
    assert index.words() == [*MARKS, b"a", b"b", b"c"]
    assert index.find(b"c b x")[0].tolist() == [5, 4, -1]


def test_an_index_is_its_arrays():
    index = WordIndex([f"w{number}".encode() for number in range(1000)])
    table = index.compact()
    again = WordIndex.of_table(table)
    assert (again.known, again.words()) == (1000, index.words())
    assert again.find(b"w999 w1000")[0].tolist() == [999, -1]
    assert again.add(b"new w3")[0].tolist() == [1000, 3]


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table._replace(slots=table.slots[:-1]),
        lambda table: table._replace(slots=table.slots[:1]),
        lambda table: table._replace(slots=np.where(table.slots == EMPTY, np.uint64(1 << 40), table.slots)),
        lambda table: table._replace(slots=np.where(table.slots == EMPTY, table.slots, table.slots + np.uint64(9))),
        lambda table: table._replace(starts=table.starts[::-1].copy()),
        lambda table: table._replace(starts=np.sort(table.starts)[[0, 0, *range(1, len(table.starts))]]),
        lambda table: table._replace(pool=table.pool[:-1]),
        lambda table: table._replace(starts=table.starts[:0]),
    ],
)
def test_arrays_that_lead_astray_are_refused(damage):
    table = WordIndex([b"a", b"bc", b"def"]).compact()
    with pytest.raises(ValueError, match="arrays"):
        WordIndex.of_table(damage(table))
