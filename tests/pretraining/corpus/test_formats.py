"""Documents to sections: every format, its places, and every way a file can be bad."""

from __future__ import annotations

import gzip
import json
import random
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.pretraining.corpus import Skips, read_file
from fourfold.pretraining.corpus.formats import ReadingLimits, Section, Unreadable, read_sections
from tests.pretraining.corpus.samples import write_docx, write_eml, write_pdf, write_pptx, write_xlsx

pytest.importorskip("docx")
pytest.importorskip("openpyxl")
pytest.importorskip("pptx")
pytest.importorskip("pypdfium2")

MAKERS = {".docx": write_docx, ".xlsx": write_xlsx, ".pptx": write_pptx, ".eml": write_eml}


def read(path: Path, limits: ReadingLimits | None = None) -> list[Section]:
    return list(read_sections(path, limits))


def reason(path: Path, limits: ReadingLimits | None = None) -> str:
    with pytest.raises(Unreadable) as caught:
        read(path, limits)
    return str(caught.value)


def outcome_of(path: Path) -> list[Section] | str:
    try:
        return read(path)
    except Unreadable as error:
        return str(error)


def test_markdown_by_heading_and_line(tmp_path):
    path = tmp_path / "a.md"
    text = "intro\n\n# One\n\nfirst\n\n```\n# no heading\n```\n\n## Two\nsecond\n\nThree\n=====\nthird\n"
    path.write_text(text, "utf-8")
    assert [(section.heading, section.first) for section in read(path)] == [
        ("", 1), ("One", 3), ("One > Two", 11), ("Three", 14)
    ]  # fmt: skip
    assert "".join(section.text for section in read(path)) == text


def test_plain_text_takes_underlines_and_chinese_chapters_but_no_hash(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Title\n-----\n# a comment\n\n第一章 总则\n\n第一条 …\n第二节 范围\n内容\n", "utf-8")
    assert [section.heading for section in read(path)] == [
        "Title",
        "Title > 第一章 总则",
        "Title > 第一章 总则 > 第二节 范围",
    ]


def test_html_by_heading_and_paragraph_without_navigation(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<title>Page</title><nav>menu</nav><div role=navigation><h3>Contents</h3></div><p>before</p>"
        "<h1>Top¶</h1><p>one<p>two<h2>Sub</h2><ul><li>x<li>y</ul>",
        "utf-8",
    )
    assert [(section.heading, section.first, section.unit, section.text) for section in read(path)] == [
        ("Page", 1, "paragraph", "before"),
        ("Page > Top", 2, "paragraph", "Top\none\ntwo"),
        ("Page > Top > Sub", 5, "paragraph", "Sub\nx\ny"),
    ]


def test_pdf_by_page(tmp_path):
    sections = read(write_pdf(tmp_path / "a.pdf", ["Hello world\nsecond line", "", "Third page", "4"]))
    assert [(section.place, section.text.split()) for section in sections] == [
        ("page 1", ["Hello", "world", "second", "line"]), ("page 3", ["Third", "page"]), ("page 4", ["4"])
    ]  # fmt: skip


def test_pdf_that_is_half_a_scan_is_read_and_said(tmp_path):
    path = write_pdf(tmp_path / "a.pdf", ["one", "", "", "two"])
    found = []
    with pytest.raises(Unreadable, match="more than a quarter of its pages hold no text"):
        found.extend(read_sections(path))
    document = next(read_file(path, "a.pdf", "here", Skips()))
    assert document.text.split() == ["one", "two"] == [section.text.strip() for section in found]


def test_docx_by_heading_and_paragraph(tmp_path):
    sections = read(write_docx(tmp_path / "a.docx"))
    assert [(section.heading, section.first, section.text) for section in sections] == [
        ("Contract", 1, "Contract\nThe lease runs for two years."),
        ("Contract > Rent", 3, "Rent\n租金每月一千元。\nDeposit | 3000"),
    ]


def test_docx_keeps_what_its_library_leaves_out(tmp_path):
    """A content control and an insertion are read; what was deleted is not; a text box is read once, not twice."""
    import docx
    from docx.oxml import parse_xml

    word = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    compatible = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    document = docx.Document()
    box = "<w:p><w:r><w:t>boxed</w:t></w:r></w:p>"
    pieces = [
        f"<w:sdt {word}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        f"<w:p {word}><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>",
        f"<w:p {word} {compatible}><w:r><mc:AlternateContent><mc:Choice Requires='wps'>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r></w:p>",
    ]
    for piece in reversed(pieces):
        document.element.body.insert(0, parse_xml(piece))
    document.save(str(tmp_path / "a.docx"))
    assert "\n".join(section.text for section in read(tmp_path / "a.docx")) == "controlled\ninserted\nboxed"


def test_xlsx_by_sheet_and_row(tmp_path):
    (sheet,) = read(write_xlsx(tmp_path / "a.xlsx"))
    assert (sheet.place, sheet.unit, sheet.heading) == ("sheet Budget", "row", "Item | Cost")
    assert sheet.text == "Item | Cost\n\nChairs | 1200.5\n桌子 | 800"


def test_pptx_by_slide_with_notes(tmp_path):
    slides = read(write_pptx(tmp_path / "a.pptx"))
    assert [(slide.place, slide.heading) for slide in slides] == [("slide 1", "Goals"), ("slide 2", "风险")]
    assert "Grow twofold" in slides[0].text
    assert "Say more on Goals" in slides[0].text


def test_eml_with_its_attachments(tmp_path):
    sections = read(write_eml(tmp_path / "a.eml"))
    assert [section.place for section in sections] == [
        "message", "attachment agenda.md", "attachment attachment"
    ]  # fmt: skip
    assert "中午" in sections[0].text
    assert "Subject: 会议 notes" in sections[0].text
    assert (sections[1].heading, sections[2].heading) == ("Agenda", "Older")
    assert "forwarded words" in sections[2].text


def test_json_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"q": "中文", "n": 3, "list": ["a", {"b": "c\nd"}]}) + "\nnot json\n", "utf-8")
    (section,) = read(path)
    assert section.text.split("\n") == ["中文 · a · c d", "not json", ""]


def test_gzip_and_files_without_a_telling_name(tmp_path):
    (tmp_path / "a.md.gz").write_bytes(gzip.compress(b"# One\n\nzipped") + gzip.compress(b" twice"))
    (section,) = read(tmp_path / "a.md.gz")
    assert (section.heading, section.text) == ("One", "# One\n\nzipped twice")
    (tmp_path / "README").write_text("read me", "utf-8")
    assert read(tmp_path / "README")[0].text == "read me"
    (tmp_path / "x.bin").write_bytes(b"\x7fELF\0\0\1")
    assert reason(tmp_path / "x.bin") == "no reader for this extension"


def test_bad_files_have_one_sentence_each(tmp_path):
    small = ReadingLimits(file=2000, unpacked=50_000)
    write_pdf(tmp_path / "scan.pdf", ["", ""])
    assert reason(tmp_path / "scan.pdf") == "holds no text (a scan?)"
    write_pdf(tmp_path / "locked.pdf", ["secret"], encrypted=True)
    assert reason(tmp_path / "locked.pdf") == "encrypted: it needs a password"
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    assert reason(tmp_path / "broken.pdf") == "damaged: not a PDF"
    for extension in (".docx", ".xlsx", ".pptx"):
        path = tmp_path / f"broken{extension}"
        path.write_bytes(b"PK\3\4 no archive")
        assert reason(path) == "damaged: not a zip archive, as it should be"
        path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
        assert reason(path) == "encrypted, or in the Office format of before 2007"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hello.txt", "an archive of something else")
        assert reason(path).startswith("damaged (")
    (tmp_path / "empty.txt").write_bytes(b"")
    assert reason(tmp_path / "empty.txt") == "empty file"
    (tmp_path / "large.txt").write_bytes(b"x" * 2001)
    assert reason(tmp_path / "large.txt", small) == "larger than 0 MB: split it"
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(bytes(10**6)))
    assert reason(tmp_path / "bomb.txt.gz", small) == "unpacks to more than 0 MB"
    (tmp_path / "half.txt.gz").write_bytes(gzip.compress(b"some text")[:-9])
    assert reason(tmp_path / "half.txt.gz").startswith("damaged: the gzip file ends")
    (tmp_path / "old.doc").write_bytes(b"x")
    assert reason(tmp_path / "old.doc").startswith("no reader")


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = write_docx(tmp_path / "bomb.docx")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("word/bomb.xml", "w") as stream:
        for _ in range(600):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    assert reason(path) == "unpacks to more than 512 MB"


def test_no_reason_quotes_the_file(tmp_path):
    rng = random.Random(0)
    words = ("lease", "Chairs", "Goals", "Meeting")
    for extension, make in MAKERS.items():
        path = make(tmp_path / f"a{extension}")
        data = path.read_bytes()
        for _ in range(15):
            broken = bytearray(data)
            for _ in range(rng.randrange(1, 40)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            path.write_bytes(broken[: rng.randrange(1, len(broken) + 1)])
            outcome = outcome_of(path)
            assert isinstance(outcome, list) or not any(word in outcome for word in words)


EXTENSIONS = [".txt", ".md", ".html", ".docx", ".xlsx", ".pptx", ".eml", ".jsonl", ".csv", ".gz", ".txt.gz", ""]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(EXTENSIONS),
    st.binary(max_size=300),
    st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b\x08\0", b"<html>"]),
)
def test_wild_bytes_are_read_or_refused(tmp_path_factory, extension, data, start):
    path = tmp_path_factory.getbasetemp() / f"wild{extension}"
    path.write_bytes(start + data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = outcome_of(path)
    assert outcome if isinstance(outcome, str) else any(section.text.strip() for section in outcome)
