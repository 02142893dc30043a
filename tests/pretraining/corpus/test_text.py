"""Normalisation, deduplication, filters, HTML, languages: small rules by example."""

from __future__ import annotations

import random

import pytest

from fourfold.errors import UserError
from fourfold.pretraining.corpus import (
    FILTERS,
    CorpusOptions,
    Deduplicator,
    Document,
    html_to_text,
    language_of,
    measure_texts,
    normalise,
)
from fourfold.pretraining.corpus.sources import remove_stage_directions

PROSE = (
    "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith, his chin nuzzled into "
    "his breast in an effort to escape the vile wind, slipped quickly through the glass doors of Victory Mansions, "
    "though not quickly enough to prevent a swirl of gritty dust from entering along with him. The hallway smelt of "
    "boiled cabbage and old rag mats. At one end of it a coloured poster, too large for indoor display, had been "
    "tacked to the wall."
)
HAN = (
    "鲁镇的酒店的格局，是和别处不同的：都是当街一个曲尺形的大柜台，柜里面预备着热水，可以随时温酒。做工的人，傍午傍晚散了工，"
    "每每花四文铜钱，买一碗酒，靠柜外站着，热热的喝了休息；倘肯多花一文，便可以买一碟盐煮笋，或者茴香豆，做下酒物了。"
)


def document(text: str, id: str = "a", group: str = "en") -> Document:
    return Document(id=id, text=text, source="test", meta={"group": group})


def test_normalise() -> None:
    assert normalise("a\r\nb\rc\u2028d") == "a\nb\nc\nd"
    assert normalise("cafe\u0301") == "café"
    assert normalise("a \t\n\n\n\n b\0\x07\ufeff") == "a\n\n b"
    assert normalise("x\ud800y") == "x\ufffdy"
    assert normalise("\ndef f():\n\n\n    pass\n", code=True) == "def f():\n\n\n    pass"


def test_documents_and_long_paragraphs_are_deduplicated_and_refrains_stay() -> None:
    unique = Deduplicator()
    first = document(f"{PROSE}\n\nThank you.\n\nThank you.")
    assert unique(first) is first
    assert unique(document(f"{PROSE.upper()}  \n\nThank you. Thank you.", "b")) is None
    assert unique(document(f"New.\n\n{PROSE}\n\nThank you.", "c")) == document("New.\n\nThank you.", "c")
    assert (unique.documents, unique.paragraphs) == (1, 1)


def test_a_document_of_repeated_paragraphs_only_is_a_duplicate() -> None:
    unique = Deduplicator()
    unique(document(f"{PROSE}\n\n{HAN}"))
    assert unique(document(HAN)) is None
    assert unique.documents == 1


def test_code_keeps_its_paragraphs() -> None:
    unique = Deduplicator()
    block = "def function(argument):\n    return some_other_function(argument, argument, 1)"
    for name in "ab":
        kept = unique(document(f"# {name}\n\n{block}", name, "code"))
        assert kept is not None
        assert block in kept.text


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_filters_let_good_text_through(name: str) -> None:
    generator = random.Random(0)
    words = PROSE.split()
    long = " ".join(generator.choice(words) for _ in range(9000))
    for text in (PROSE, HAN, f"{PROSE}\n\n{HAN}", "Short.", long):
        assert FILTERS[name](text) is None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("repeated-lines", "Buy now!\n" * 10, "repeated lines"),
        ("repeated-grams", "buy this now " * 40, "the most frequent 2-gram"),
        ("repeated-grams", "买它吧" * 60, "the most frequent 2-gram"),
        ("repeated-grams", f"{PROSE} {PROSE}", "repeated 5-grams"),
        ("repeated-grams", f"{HAN}{HAN}", "repeated 5-grams"),
        ("symbols", "### tag # tag " * 20, "symbols instead of words"),
        ("symbols", "- " + "\n- ".join(PROSE.split(".")) + "\n- one\n- two words", "bullet points"),
        ("symbols", "\n".join(f"{part} ..." for part in PROSE.split(",")), "ellipses"),
        ("symbols", "1 2 3 4 5 6 7 8 9 | " * 20, "hardly any letters"),
        ("english-words", "zxq wvu tsr qpo " * 20, "no function words"),
        ("english-words", "the and of a b c d e f g h " * 10, "odd length"),
        ("boilerplate", f"Lorem ipsum dolor sit amet. {PROSE}", "placeholder"),
        ("boilerplate", "Please enable JavaScript to view this page.", "JavaScript"),
    ],
)
def test_filters_name_their_reason(name: str, text: str, reason: str) -> None:
    assert reason in (FILTERS[name](text) or "")


def test_long_good_text_is_not_judged_by_its_length() -> None:
    generator = random.Random(1)
    sentences = [" ".join(generator.choice(PROSE.split()) for _ in range(12)) for _ in range(4000)]
    sentences += sentences[:300]
    generator.shuffle(sentences)
    assert FILTERS["repeated-grams"](". ".join(sentences)) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PROSE, "en"), (HAN, "zh"), ("これは日本語の文章です。漢字も少し。", "ja"), ("안녕하세요 세계", "ko"),
        ("Это русский текст", "ru"), ("Der Hund und die Katze sind nicht mit den Kindern.", "de"),
        ("Le chat est dans la maison et les enfants aussi.", "fr"), ("1234 5678", "other"),
        ("使用 argparse 模块可以 parse 命令行的参数，也可以生成帮助。", "zh"),
    ],
)  # fmt: skip
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language


def test_measures() -> None:
    assert measure_texts(["abc", "你"], tokens=3) == {
        "documents": 2, "bytes": 6, "characters": 4, "scripts": {"Latin": 0.75, "Han": 0.25}, "tokens": 3,
        "tokens_per_byte": 0.5,
    }  # fmt: skip


def test_html_to_text() -> None:
    pytest.importorskip("selectolax")
    page = """<html><head><title>T</title><style>p {}</style></head><body><nav>Home | About</nav>
    <h1>A  title</h1><p>One <b>bold</b>
    word&nbsp;&amp; more.<br>Second line</p><script>var x = 1;</script><ul><li>first</li><li>second</li></ul>
    <table><tr><td>a</td><td>b</td></tr></table><pre>def f():
    return 1</pre><p>你好</p><footer>(c)</footer></body></html>"""
    assert html_to_text(page) == (
        "A title\n\nOne bold word & more.\nSecond line\n\nfirst\nsecond\n\na b\n\ndef f():\n    return 1\n\n你好"
    )
    assert html_to_text("") == ""
    assert html_to_text("plain <p>unclosed <div>nested") == "plain\n\nunclosed\n\nnested"


def test_stage_directions_go_and_supplied_words_stay() -> None:
    text = (
        "The President. Thank you. [Applause] We will [improve] it in [South Carolina].\n\nAudience member. [Inaudible]"
        "\n\n[At this point, the President paused.]\n\nIt was 5 [6; White House correction] percent [see APP Note]."
    )
    assert normalise(remove_stage_directions(text)) == (
        "The President. Thank you. We will improve it in South Carolina.\n\nIt was 5 percent."
    )


def test_unknown_options_are_named() -> None:
    with pytest.raises(UserError, match=r"unknown filter 'symbol'\. Did you mean 'symbols'"):
        CorpusOptions(sources=("a",), filters=("symbol",))
    with pytest.raises(UserError, match="held_out_fraction is out of range"):
        CorpusOptions(sources=("a",), held_out_fraction=0.9)
