"""Downstream tasks made from the documents of a corpus: their labels are facts about the text, not opinions.

period        which of four periods a paragraph of a dated address is from; its corpus must hold out by hash
token-types   what Python's own tokenizer calls each token of a function
functions     the name of the function, of three, that a description is of
docstrings    the first line of a function's description, from its body
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from fourfold.adaptation.downstream.records import Record, Tag, TaskKind
from fourfold.pretraining.corpus import Document

PERIODS = {1861: "until 1860", 1913: "1861 to 1912", 1961: "1913 to 1960", 9999: "since 1961"}
PARAGRAPH = range(200, 701)
FUNCTION = range(60, 2001)
WHOLE = 600
"""Characters of a function that is shown whole, at most."""
SUMMARY = range(15, 101)
SNIPPET = 160
"""Characters of a function shown among others."""
TOGETHER = 3
TYPES = {
    tokenize.STRING: "string",
    tokenize.NUMBER: "number",
    tokenize.OP: "operator",
    tokenize.COMMENT: "comment",
    tokenize.NAME: "name",
}
"""Of the tokens that are tagged; parts of formatted strings are strings."""


@dataclass(frozen=True, kw_only=True)
class MadeTask:
    """A task and how its records come out of documents."""

    kind: TaskKind
    make: Callable[[Iterable[Document]], Iterator[Record]]


class Function(NamedTuple):
    """A described function of a module."""

    name: str
    summary: str
    source: str


def periods(documents: Iterable[Document]) -> Iterator[Record]:
    for document in documents:
        year = str(document.meta.get("date", ""))[:4]
        if not year.isdigit():
            continue
        name = next(name for end, name in PERIODS.items() if int(year) < end)
        for paragraph in document.text.split("\n"):
            if len(paragraph) in PARAGRAPH:
                yield Record(text=paragraph, answer=name, group=document.id)


def token_types(documents: Iterable[Document]) -> Iterator[Record]:
    for document, function in _short_functions(documents):
        tags = tuple(_types(function.source))
        if tags:
            yield Record(text=function.source, tags=tags, group=document.id)


def docstrings(documents: Iterable[Document]) -> Iterator[Record]:
    for document, function in _short_functions(documents):
        yield Record(text=function.source, answer=function.summary, group=document.id)


def functions(documents: Iterable[Document]) -> Iterator[Record]:
    """Three neighbours of a module in random order; the description is of one of them."""
    for document in documents:
        found = [function for _, function in _functions([document])]
        random = Random(document.id)
        for first in range(0, len(found), TOGETHER):
            together = found[first : first + TOGETHER]
            if len({function.name for function in together}) < TOGETHER:
                continue
            wanted, shown = random.choice(together), random.sample(together, TOGETHER)
            text, start = "", -1
            for function in shown:
                if function is wanted:
                    start = len(text) + function.source.index(function.name)
                text += function.source[:SNIPPET] + "\n"
            yield Record(text=text, question=wanted.summary, answer=wanted.name, start=start, group=document.id)


MADE: Mapping[str, MadeTask] = {
    "period": MadeTask(kind="classification", make=periods),
    "token-types": MadeTask(kind="tagging", make=token_types),
    "functions": MadeTask(kind="extraction", make=functions),
    "docstrings": MadeTask(kind="seq2seq", make=docstrings),
}


def _functions(documents: Iterable[Document]) -> Iterator[tuple[Document, Function]]:
    """Functions with a description of one sentence, without it, from every document that is Python."""
    for document in documents:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd escapes of the text are its own affair
                tree = ast.parse(document.text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        lines = document.text.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (function := _described(node, lines)) is not None:
                yield document, function


def _short_functions(documents: Iterable[Document]) -> Iterator[tuple[Document, Function]]:
    return ((document, function) for document, function in _functions(documents) if len(function.source) <= WHOLE)


def _described(node: ast.FunctionDef, lines: list[str]) -> Function | None:
    description = ast.get_docstring(node)
    if not description or len(node.body) < 2:
        return None
    summary = description.split("\n")[0].strip()
    doc = node.body[0]
    body = [*lines[node.lineno - 1 : doc.lineno - 1], *lines[doc.end_lineno or doc.lineno : node.end_lineno]]
    source = "\n".join(line[node.col_offset :] for line in body)
    fits = len(summary) in SUMMARY and summary.endswith(".") and len(source) in FUNCTION
    return Function(node.name, summary, source) if fits and source.startswith("def ") else None


def _types(source: str) -> Iterator[Tag]:
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            name = TYPES.get(token.type)
            if "FSTRING" in tokenize.tok_name[token.type]:
                name = "string"
            if name is None or not token.string.strip():
                continue
            if name == "name" and keyword.iskeyword(token.string):
                name = "keyword"
            start, end = (starts[line - 1] + column for line, column in (token.start, token.end))
            yield Tag(start, end, name)
    except (tokenize.TokenError, IndentationError):
        return
