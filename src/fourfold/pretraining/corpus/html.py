"""HTML to text: block elements become lines, navigation and scripts go.

The parser is selectolax (the Lexbor engine: fast, no dependencies of its own). It finds no main
content as heavier extractors do; what pages say about themselves (`nav`, `footer`, `aside`) is used.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

_DROPPED = "script, style, noscript, template, svg, iframe, nav, header, footer, aside, form, button, select"
_BLOCKS = (
    "p, div, section, article, main, h1, h2, h3, h4, h5, h6, ul, ol, dl, table, blockquote, pre, figure, hr, title"
)
_LINES = "br, li, tr, dt, dd"
# They stand for breaks, and for what `pre` keeps, while white space is folded.
_PARAGRAPH, _BREAK, _LINE, _SPACE = "\ue000", "\ue001", "\ue002", "\ue003"


class HtmlReaderMissing(ImportError):
    """The HTML parser is not installed."""


def html_available() -> bool:
    return find_spec("selectolax") is not None


def html_to_text(page: str) -> str:
    """The readable text of a page: paragraphs apart by an empty line, `pre` kept as it is."""
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise HtmlReaderMissing("reading HTML needs: pip install selectolax") from None
    tree = LexborHTMLParser(re.sub("[\ue000-\ue003]", "", page))
    if tree.body is None:
        return ""
    for node in tree.body.css(_DROPPED):
        node.decompose()
    for node in tree.body.css("pre"):
        kept = node.text(separator="").replace("\n", _LINE).replace(" ", _SPACE).replace("\t", _SPACE * 4)
        node.replace_with(f"{_PARAGRAPH}{kept}{_PARAGRAPH}")
    for selector, mark in ((_BLOCKS, _PARAGRAPH), (_LINES, _BREAK)):
        for node in tree.body.css(selector):
            node.insert_before(mark)
            node.insert_after(mark)
    for node in tree.body.css("td, th"):
        node.insert_after(" ")
    text = re.sub(r"\s+", " ", tree.body.text(separator=""))
    text = re.sub(f"[{_BREAK}{_LINE} ]*{_PARAGRAPH}[{_BREAK}{_LINE}{_PARAGRAPH} ]*", "\n\n", text)
    text = re.sub(f" ?{_BREAK}[{_BREAK} ]*", "\n", text)
    text = text.replace(_LINE, "\n").replace(_SPACE, " ")
    return text.strip("\n ")
