"""Word, Excel and PowerPoint files (2007 and later) to text."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourfold.pretraining.corpus.formats.bounds import check_zip
from fourfold.pretraining.corpus.formats.headings import HeadingPath
from fourfold.pretraining.corpus.formats.section import ReadingLimits, Section, Unreadable

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_MOST_CELLS = 20_000_000
_HEADER_CHARACTERS = 200


def read_docx(path: Path, limits: ReadingLimits) -> Iterator[Section]:
    """A section a heading; a line is a paragraph or the row of a table.

    The library opens the package and knows the styles; the text is walked here, because its paragraphs leave out
    content controls, tracked insertions and text boxes.
    """
    import docx

    check_zip(path, limits)
    document = docx.Document(str(path))
    levels = {style.style_id: _level(style.name or "") for style in document.styles}
    headings = HeadingPath()
    lines: list[str] = []
    first = 1
    for element in _blocks(document.element.body):
        line = _row(element) if element.tag == f"{_WORD}tr" else _paragraph(element)
        level = None if element.tag == f"{_WORD}tr" else levels.get(_style(element))
        if level is not None and line:
            if any(lines):
                yield Section(text="\n".join(lines), unit="paragraph", first=first, heading=headings.text)
            first += len(lines)
            lines = []
            headings.enter(level, line)
        lines.append(line)
    if any(lines):
        yield Section(text="\n".join(lines), unit="paragraph", first=first, heading=headings.text)


def _level(style: str) -> int | None:
    """The depth of a heading style; None for others. Word stores built-in names in English in every language."""
    name = style.lower()
    if name == "title":
        return 0
    return int(name[8:]) if name.startswith("heading ") and name[8:].isdecimal() else None


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and table rows in the order of the document, also those in content controls and insertions."""
    for child in parent:
        if child.tag in (f"{_WORD}p", f"{_WORD}tr"):
            yield child
        elif isinstance(child.tag, str) and child.tag != _FALLBACK:
            yield from _blocks(child)


def _paragraph(element: Any) -> str:
    return " ".join("".join(_pieces(element)).split())


def _row(element: Any) -> str:
    cells = (" ".join(map(_paragraph, _blocks_of_cell(cell))) for cell in element.iter(f"{_WORD}tc"))
    return " | ".join(cell for cell in cells if cell)


def _blocks_of_cell(cell: Any) -> Iterator[Any]:
    return (child for child in cell if child.tag == f"{_WORD}p")


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_WORD}t":
            yield child.text or ""
        elif child.tag in (f"{_WORD}tab", f"{_WORD}br", f"{_WORD}cr"):
            yield " "
        elif child.tag not in (f"{_WORD}del", f"{_WORD}moveFrom", _FALLBACK):
            yield from _pieces(child)
            if child.tag == f"{_WORD}p":  # of a text box
                yield " "


def _style(paragraph: Any) -> str:
    style = paragraph.find(f"{_WORD}pPr/{_WORD}pStyle")
    return "" if style is None else str(style.get(f"{_WORD}val", ""))


def read_xlsx(path: Path, limits: ReadingLimits) -> Iterator[Section]:
    """A section a sheet, a line a row: the values of its cells; the first row that has any is the heading."""
    import openpyxl

    check_zip(path, limits)
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        cells = 0
        for sheet in book.worksheets:
            lines = []
            for row in sheet.iter_rows(values_only=True):
                cells += max(len(row), 1)
                if cells > _MOST_CELLS:
                    raise Unreadable(f"more than {_MOST_CELLS // 10**6} million cells")
                lines.append(" | ".join(_cell(value) for value in row if value is not None))
            header = next(filter(None, lines), "")
            if header:
                heading = header[:_HEADER_CHARACTERS]
                yield Section(text="\n".join(lines), place=f"sheet {sheet.title}", unit="row", heading=heading)
    finally:
        book.close()


def _cell(value: object) -> str:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return " ".join(str(value).split())


def read_pptx(path: Path, limits: ReadingLimits) -> Iterator[Section]:
    """A section a slide: its shapes in their order, tables by row, then the speaker's notes."""
    import pptx

    check_zip(path, limits)
    for number, slide in enumerate(pptx.Presentation(str(path)).slides, 1):
        title = slide.shapes.title
        lines = [line for shape in slide.shapes for line in _shape_lines(shape)]
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
            lines += ["", *notes.text.splitlines()]
        if any(line.strip() for line in lines):
            heading = " ".join(title.text_frame.text.split()) if title is not None else ""
            yield Section(text="\n".join(lines), place=f"slide {number}", unit="", heading=heading)


def _shape_lines(shape: Any) -> Iterator[str]:
    if hasattr(shape, "shapes"):  # a group
        for member in shape.shapes:
            yield from _shape_lines(member)
    elif shape.has_text_frame:
        yield from (paragraph.text.replace("\v", " ") for paragraph in shape.text_frame.paragraphs)
    elif getattr(shape, "has_table", False):
        for row in shape.table.rows:
            yield " | ".join(" ".join(cell.text.split()) for cell in row.cells)
