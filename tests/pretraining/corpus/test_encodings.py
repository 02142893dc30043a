"""Real Chinese, in every encoding we promise; the traps that charset detectors fall into."""

from __future__ import annotations

import pytest

from fourfold.pretraining.corpus import UnknownEncoding, decode

SIMPLIFIED = "本章介绍如何在函数里使用默认参数。\n如果你想知道更多，请看下一章的说明。"
TRADITIONAL = "大學之道，在明明德，在親民，在止於至善。知止而后有定。\n物有本末，事有終始，知所先後，則近道矣。"
ENGLISH = "The quick brown fox.\nIt jumps over the lazy dog.\n" * 3
UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("text", [SIMPLIFIED, TRADITIONAL, ENGLISH, "naïve café — “quoted”\n" * 4])
def test_unicode_with_and_without_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["gb18030", "gbk"])
@pytest.mark.parametrize("text", [SIMPLIFIED, TRADITIONAL, SIMPLIFIED + "😀㐀"])
def test_gb18030(text: str, encoding: str) -> None:
    if encoding == "gbk" and "😀" in text:
        pytest.skip("GBK has no emoji")
    assert decode(text.encode(encoding)).text == text


def test_big5() -> None:
    assert decode(TRADITIONAL.encode("big5")).text == TRADITIONAL


@pytest.mark.parametrize("length", [8, 12, 20])
def test_short_chinese_texts_where_detectors_see_korean_or_utf16(length: int) -> None:
    for start in range(0, 20, 4):
        for text, encoding in ((SIMPLIFIED, "gb18030"), (TRADITIONAL, "gb18030"), (TRADITIONAL, "big5")):
            piece = text.replace("\n", "")[start : start + length]
            assert decode(piece.encode(encoding)).text == piece


def test_other_encodings_are_left_to_the_library() -> None:
    pytest.importorskip("charset_normalizer")
    russian = "Это русский текст, написанный для проверки кодировки. Он достаточно длинный."
    korean = "안녕하세요 세계 여러분 반갑습니다 오늘은 날씨가 좋습니다"
    assert decode(russian.encode("cp1251")).text == russian
    assert decode(korean.encode("euc_kr")).text == korean


def test_a_page_that_names_its_encoding_is_believed() -> None:
    page = '<html><head><meta charset="gb2312"></head><body>你好</body></html>'
    assert decode(page.encode("gbk")) == (page, "gb18030")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
        b"\x7fELF\x02\x01\x01" + b"\0" * 40,
        b"PK\x03\x04\0\x14" * 9,
    ],
)
def test_binary_files_are_refused(data: bytes) -> None:
    with pytest.raises(UnknownEncoding, match="binary file"):
        decode(data)
