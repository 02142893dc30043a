"""Conversations: layout, roles and their order, empty turns, and control tokens spelt in what people wrote."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from fourfold.workflow.doctor.data.layouts import ROLES, Row, Turn
from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, listed, same

CONVERSATION = '{"messages": [{"role": …, "content": …}, …]}'
PAIR = '{"prompt": …, "chosen": …, "rejected": …}'
OURS = frozenset({"human", "gpt", "user", "assistant", "system"})
CONTROL = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|eot_id|start_header_id|end_header_id|begin_of_text|user|assistant|system"
    r"|end|pad|tool_call)\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)

UNKNOWN = kind("data-layout-unknown")
MALFORMED = kind("data-record-malformed")
MIXED = kind("data-layout-mixed")
NOT_OURS = kind("data-layout-foreign")
ROLE = kind("role-unknown")
TOOLS = kind("role-tool")
ORDER = kind("role-order")
NO_ANSWER = kind("answer-missing")
OPEN_END = kind("answer-open")
EMPTY_TURN = kind("turn-empty")
INJECTED = kind("control-in-text")


def check(data: Data) -> Iterator[Outcome]:
    yield Fact("records", Words("records", "记录"), same(f"{len(data.rows):,} × {data.layout}"))
    yield from _layouts(data)
    rows = data.good
    yield from _roles(data, rows)
    yield from _order(data, [row for row in rows if row.is_conversation])
    for role in ("user", "assistant", "text"):
        bad = [row for row in rows if any(is_empty(turn.text) and spoken_by(turn) == role for turn in row.turns)]
        if bad:
            yield EMPTY_TURN.at(data.at(bad[0]), count=len(bad), role=role, lines=lines_of(bad))
    yield from _injected(data, rows)


def spoken_by(turn: Turn) -> str:
    return turn.speaker if turn.role else "text"


def is_empty(text: str) -> bool:
    return not text.strip()


def lines_of(rows: list[Row]) -> Words:
    return listed(row.line for row in rows)


def _layouts(data: Data) -> Iterator[Outcome]:
    unknown = [row for row in data.rows if row.layout == "unknown"]
    if unknown:
        yield UNKNOWN.at(data.at(unknown[0]), count=len(unknown), reason=unknown[0].problem, lines=lines_of(unknown))
    bad = [row for row in data.rows if row.problem and row.layout != "unknown"]
    if bad:
        first = bad[0]
        yield MALFORMED.at(
            data.at(first), count=len(bad), layout=first.layout, reason=first.problem, lines=lines_of(bad)
        )
    counts = Counter(row.layout for row in data.rows if row.layout != "unknown")
    if len(counts) > 1:
        yield MIXED.at(data.path.name, counts=", ".join(f"{layout} {count:,}" for layout, count in counts.items()))
    foreign = [row for row in data.good if row.refusal and row.layout != "unknown" and not tools_in(row)]
    if foreign:
        wanted = PAIR if data.layout == "preference" else CONVERSATION
        where, count = data.at(foreign[0]), len(foreign)
        yield NOT_OURS.at(where, count=count, all=len(data.rows), reason=foreign[0].refusal, wanted=wanted)


def tools_in(row: Row) -> bool:
    """Whether a tool is called or answers in a conversation."""
    return any(turn.role in ROLES and turn.role not in OURS for turn in row.turns)


def _roles(data: Data, rows: list[Row]) -> Iterator[Outcome]:
    found = Counter(turn.role for row in rows for turn in (*row.turns, *row.chosen, *row.rejected) if turn.role)
    strange = {role: count for role, count in found.items() if role not in ROLES}
    if strange:
        first = next(row for row in rows if any(turn.role in strange for turn in (*row.turns, *row.chosen)))
        yield ROLE.at(data.at(first), count=sum(strange.values()), roles=listed(map(repr, strange)))
    tools = {role for role in found if role in ROLES and role not in OURS}
    using = [row for row in rows if tools_in(row)]
    if using:
        yield TOOLS.at(data.at(using[0]), count=len(using), all=len(rows), roles=listed(sorted(tools)))


def _order(data: Data, rows: list[Row]) -> Iterator[Outcome]:
    wrong: dict[str, list[Row]] = {}
    for row in rows:
        reason = order_problem([turn.speaker for turn in row.turns])
        if reason:
            wrong.setdefault(reason, []).append(row)
    for reason, bad in wrong.items():
        yield ORDER.at(data.at(bad[0]), count=len(bad), reason=reason, lines=lines_of(bad))
    silent = [row for row in rows if not any(turn.speaker == "assistant" for turn in row.turns)]
    if silent:
        yield NO_ANSWER.at(data.at(silent[0]), count=len(silent), lines=lines_of(silent))
    quiet = {row.line for row in silent}
    asking = [row for row in rows if row.turns and row.turns[-1].speaker == "user" and row.line not in quiet]
    if asking:
        yield OPEN_END.at(data.at(asking[0]), count=len(asking), lines=lines_of(asking))


def order_problem(speakers: list[str]) -> str:
    """Why speakers are out of order; a call to a tool and its result may stand between."""
    if "system" in speakers[1:]:
        return "a system turn after the first"
    rest = [speaker for speaker in speakers if speaker != "system"]
    if rest[:1] == ["assistant"]:
        return "the assistant begins"
    for one, other in pairwise(rest):
        if one == other and one in ("user", "assistant"):
            return f"two {one} turns in a row"
    return ""


def _injected(data: Data, rows: list[Row]) -> Iterator[Outcome]:
    special: tuple[str, ...] = ()
    tokenizer = data.model.tokenizer if data.model is not None else None
    if tokenizer is not None and data.model is not None:
        names = data.model.names
        # Short names such as <s> stand in HTML and in talk of tags as well.
        special = tuple(names[id] for id in tokenizer.special_ids if len(names.get(id, "")) > 4)
    own = re.compile("|".join(map(re.escape, special))) if special else CONTROL
    found: Counter[str] = Counter()
    bad = []
    for row in rows:
        text = row.text
        spelt = {*CONTROL.findall(text), *(own.findall(text) if special else ())}
        if spelt:
            found.update(spelt)
            bad.append(row)
    if bad:
        yield INJECTED.at(data.at(bad[0]), count=len(bad), tokens=listed(found), lines=lines_of(bad))


CHECK: Check[Data] = Check(
    title=Words("Layout and turns", "格式与轮次"),
    run=check,
    kinds=(UNKNOWN, MALFORMED, MIXED, NOT_OURS, ROLE, TOOLS, ORDER, NO_ANSWER, OPEN_END, EMPTY_TURN, INJECTED),
)
