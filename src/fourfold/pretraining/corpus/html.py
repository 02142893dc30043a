"""HTML to text: block elements become lines, navigation and scripts go.

The parser is selectolax (the Lexbor engine: fast, no dependencies of its own). It finds no main
content as heavier extractors do; what pages say about themselves (`nav`, `footer`, `aside`) is used.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, NamedTuple

_DROPPED = (
    "script, style, noscript, template, svg, iframe, nav, header, footer, aside, form, button, select,"
    " [role=navigation], [role=search]"
)
_BLOCKS = (
    "p, div, section, article, main, h1, h2, h3, h4, h5, h6, ul, ol, dl, table, blockquote, pre, figure, hr, title"
)
_LINES = "br, li, tr, dt, dd"
# They stand for breaks, and for what `pre` keeps, while white space is folded.
_PARAGRAPH, _BREAK, _LINE, _SPACE = "\ue000", "\ue001", "\ue002", "\ue003"
# Around a heading, its depth between the first two.
_HEADING, _TITLE, _HEADING_END = "\ue004", "\ue005", "\ue006"


class HtmlReaderMissing(ImportError):
    """The HTML parser is not installed."""


def html_available() -> bool:
    return find_spec("selectolax") is not None


class HtmlPart(NamedTuple):
    """A heading of a page with the text up to the next one; before the first heading, level 0 and the page's title."""

    level: int
    heading: str
    text: str


def html_to_text(page: str) -> str:
    """The readable text of a page: paragraphs apart by an empty line, `pre` kept as it is."""
    body = _parse(page).body
    return _text(body) if body is not None else ""


def html_parts(page: str) -> list[HtmlPart]:
    """The same text, cut before each heading; the heading stays the first line of its part."""
    tree = _parse(page)
    if tree.body is None:
        return []
    title = tree.css_first("title")
    name = " ".join(title.text().split()) if title is not None else ""
    for level in range(1, 7):
        for node in tree.body.css(f"h{level}"):
            node.insert_before(f"{_HEADING}{level}{_TITLE}")
            node.insert_after(_HEADING_END)
    before, *rest = _text(tree.body).split(_HEADING)
    parts = [HtmlPart(0, name, before.strip())]
    for piece in rest:
        depth, _, text = piece.partition(_TITLE)
        heading, _, text = text.partition(_HEADING_END)
        heading = " ".join(heading.replace("¶", "").split())
        parts.append(HtmlPart(int(depth), heading, f"{heading}\n\n{text.strip()}"))
    return parts


def _parse(page: str) -> Any:
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise HtmlReaderMissing("reading HTML needs: pip install selectolax") from None
    return LexborHTMLParser(re.sub("[\ue000-\ue006]", "", page))


def _text(body: Any) -> str:
    for node in body.css(_DROPPED):
        node.decompose()
    for node in body.css("pre"):
        kept = node.text(separator="").replace("\n", _LINE).replace(" ", _SPACE).replace("\t", _SPACE * 4)
        node.replace_with(f"{_PARAGRAPH}{kept}{_PARAGRAPH}")
    for selector, mark in ((_BLOCKS, _PARAGRAPH), (_LINES, _BREAK)):
        for node in body.css(selector):
            node.insert_before(mark)
            node.insert_after(mark)
    for node in body.css("td, th"):
        node.insert_after(" ")
    text = re.sub(r"\s+", " ", body.text(separator=""))
    text = re.sub(f"[{_BREAK}{_LINE} ]*{_PARAGRAPH}[{_BREAK}{_LINE}{_PARAGRAPH} ]*", "\n\n", text)
    text = re.sub(f" ?{_BREAK}[{_BREAK} ]*", "\n", text)
    text = text.replace(_LINE, "\n").replace(_SPACE, " ")
    return text.strip("\n ")
