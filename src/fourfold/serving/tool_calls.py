"""Reading tool calls out of a text while it is written.

    text ──marker──► between calls ──{──► head of a call ──"arguments": {──► its arguments ──}──► between calls …

What turns out to be no call is given back as text, mark and all: nothing is lost.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from fourfold.serving.tool_formats import ToolFormat

HEAD = re.compile(
    r'\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([A-Za-z0-9_.-]{1,64})"\s*,'
    r'\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
NAMED_HEAD = re.compile(r"\s*([A-Za-z0-9_.-]{1,64})(?:\[CALL_ID\]\w{1,64})?\[ARGS\]\s*(?=\{)")
NAMED_PART = re.compile(
    r"\s*[A-Za-z0-9_.-]{0,64}(?:\[[A-Z_]{0,7}|\[CALL_ID\]\w{0,64}(?:\[[A-Z]{0,4})?|(?:\[CALL_ID\]\w{1,64})?\[ARGS\]\s*)?"
)
"""What may still become one."""
SEPARATORS = " \t\r\n,;[]"
MOST_HEAD = 1 << 16
"""Characters of an object that may turn out to be a call."""


@dataclass(frozen=True)
class Part:
    """A piece of content, or of a call: its beginning has a name and an id, the pieces after it only arguments."""

    text: str
    """Content, or JSON of the arguments."""
    call: int | None = None
    id: str | None = None
    name: str | None = None


class ToolReader:
    """Takes the text of one answer in pieces, gives back parts."""

    def __init__(self, format: ToolFormat, names: Collection[str], *, forced: bool = False) -> None:
        self.format, self.names = format, frozenset(names)
        self.calls = 0
        self._state: Literal["text", "between", "object", "arguments", "tail"] = "between" if forced else "text"
        self._buffer = ""
        self._taken = ""
        """What was read since the text ended, to be given back if it is no call."""
        self._beginning = True
        self._value = _Value()
        self._wrapped = True
        """The arguments stand in an object of the call."""

    def push(self, piece: str) -> list[Part]:
        """The parts that are certain with this piece."""
        self._buffer += piece
        parts: list[Part] = []
        while (found := self._advance()) is not None:
            parts += found
        return parts

    def finish(self) -> list[Part]:
        """No text follows; an unfinished call becomes text, unless its arguments have begun to be told."""
        parts = self.push("")
        unfinished = self._state in ("arguments", "tail")
        rest = "" if unfinished else self._taken + self._buffer
        closing = self._state == "between" and self.calls > 0 and not self._buffer.strip(SEPARATORS)
        self._buffer = self._taken = ""
        return parts if not rest or closing else [*parts, Part(rest)]

    def _advance(self) -> list[Part] | None:
        """One move of the machine; None: it needs more text."""
        match self._state:
            case "text":
                return self._text()
            case "between":
                return self._between()
            case "object":
                return self._object()
            case "arguments":
                return self._arguments()
            case "tail":
                return self._tail()

    def _text(self) -> list[Part] | None:
        if self._beginning and self.format.bare:
            head = self._buffer.lstrip()
            if not head:
                return None
            if head[0] == "{":
                return self._enter("object", "", self._buffer)
        at = self._buffer.find(self.format.opening)
        if at >= 0:
            before, after = self._buffer[:at].rstrip(), self._buffer[at + len(self.format.opening) :]
            self._enter("between", self._buffer[len(before) : len(self._buffer) - len(after)], after)
            return [Part(before)] if before else []
        held = _overlap(self._buffer, self.format.opening)
        certain = self._buffer[: len(self._buffer) - held].rstrip()  # white space before a call is not content
        self._buffer = self._buffer[len(certain) :]
        if not certain:
            return None
        self._beginning = self._beginning and not certain.strip()
        return [Part(certain)]

    def _between(self) -> list[Part] | None:
        if self.format.named and (found := self._named()) is not None:
            return found or None
        closing, plain = self.format.closing, self._buffer.lstrip(SEPARATORS)
        if plain.startswith("{"):
            passed = self._buffer[: len(self._buffer) - len(plain)]
            return self._enter("object", self._taken + passed, plain)
        if closing is not None and plain.startswith(closing):
            if self._taken:  # marks around nothing
                return self._back()
            return self._enter("text", "", plain[len(closing) :])
        if not plain or (closing is not None and closing.startswith(plain)):
            return None
        back = self._taken + self._buffer
        self._beginning = False
        self._enter("text", "", "")
        return [Part(back)]

    def _named(self) -> list[Part] | None:
        """A call whose name stands before its arguments begins; empty: it may, with more text; None: it does not."""
        text, opening = self._buffer.lstrip(), self.format.opening
        if text.startswith(opening) and self.calls:  # every call may have the mark
            passed = len(self._buffer) - len(text) + len(opening)
            self._enter("between", self._taken + self._buffer[:passed], self._buffer[passed:])
            return self._named()
        head = NAMED_HEAD.match(text)
        if head is not None and head[1] in self.names:
            self._value, self._wrapped = _Value(), False
            self._enter("arguments", "", text[head.end() :])
            return [self._begin(head[1])]
        return [] if NAMED_PART.fullmatch(text) or opening.startswith(text) else None

    def _object(self) -> list[Part] | None:
        text = self._buffer.lstrip()
        head = HEAD.match(text)
        if head is not None and head[1] in self.names:
            self._value, self._wrapped = _Value(), True
            self._enter("arguments", "", text[head.end() :])
            return [self._begin(head[1])]
        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except RecursionError:
            return self._back()
        except ValueError:
            return self._back() if len(text) > MOST_HEAD else None
        call = _call(value)
        if call is None or call[0] not in self.names:
            return self._back()
        begun = self._begin(call[0])
        self._enter("between", "", text[end:])
        return [begun, Part(call[1], call=self.calls - 1)]

    def _arguments(self) -> list[Part] | None:
        if not self._buffer:
            return None
        end = self._value.end(self._buffer)
        text, rest = (self._buffer, "") if end is None else (self._buffer[:end], self._buffer[end:])
        self._enter("arguments" if end is None else "tail" if self._wrapped else "between", "", rest)
        return [Part(text, call=self.calls - 1)]

    def _tail(self) -> list[Part] | None:
        """Up to the brace that ends the call: other fields of it are passed over."""
        at = self._buffer.find("}")
        if at < 0:
            self._buffer = ""
            return None
        return self._enter("between", "", self._buffer[at + 1 :])

    def _begin(self, name: str) -> Part:
        self.calls += 1
        self._beginning = False
        return Part(
            "", call=self.calls - 1, id=f"{self.format.id_prefix}{uuid.uuid4().hex[: self.format.id_size]}", name=name
        )

    def _back(self) -> list[Part]:
        back = self._taken + self._buffer
        self._beginning = False
        self._enter("text", "", "")
        return [Part(back)]

    def _enter(
        self, state: Literal["text", "between", "object", "arguments", "tail"], taken: str, rest: str
    ) -> list[Part]:
        self._state, self._taken, self._buffer = state, taken, rest
        return []


class _Value:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self.depth, self.in_string, self.escaped = 0, False, False

    def end(self, text: str) -> int | None:
        """How many characters of the text belong to it; None: all, and more will."""
        for at, character in enumerate(text):
            if self.in_string:
                if self.escaped:
                    self.escaped = False
                elif character == "\\":
                    self.escaped = True
                elif character == '"':
                    self.in_string = False
            elif character == '"':
                self.in_string = True
            elif character in "{[":
                self.depth += 1
            elif character in "}]":
                self.depth -= 1
                if self.depth == 0:
                    return at + 1
        return None


def _call(value: object) -> tuple[str, str] | None:
    """Name and arguments of a call in any order of its fields; arguments that are JSON in a string stay as they are."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        return value["name"], arguments
    return (value["name"], json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None


def _overlap(text: str, mark: str) -> int:
    """Characters at the end of the text that begin the mark."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:size])), 0)


def parts_of(text: str, format: ToolFormat, names: Collection[str], *, forced: bool = False) -> Iterator[Part]:
    """The parts of a whole text."""
    reader = ToolReader(format, names, forced=forced)
    yield from reader.push(text)
    yield from reader.finish()
