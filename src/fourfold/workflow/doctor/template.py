"""The chat template: does it render, keep every turn, end in a prompt, and speak the vocabulary's own language?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fourfold.errors import UserError
from fourfold.tokenizers import Tokenizer
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, same
from fourfold.workflow.doctor.model import Model

SYSTEM = {"role": "system", "content": "Qsystemq"}
TALK = [
    {"role": "user", "content": "Qfirstq"},
    {"role": "assistant", "content": "Qsecondq"},
    {"role": "user", "content": "Qthirdq"},
    {"role": "assistant", "content": "Qfourthq"},
]
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
SHOWN = 240
CONTROL = re.compile(r"<\|[a-z_0-9]+\|>|<(?:start|end)_of_turn>")
Messages = Sequence[Mapping[str, Any]]


class Style(NamedTuple):
    """How one family of templates writes a turn, told by the control tokens it needs."""

    name: str
    tokens: tuple[str, ...]
    turn: str
    prompt: str


STYLES = (
    Style("ChatML", ("<|im_start|>", "<|im_end|>"), "<|im_start|>user\n{}<|im_end|>\n", "<|im_start|>assistant\n"),
    Style("Llama 3", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
          "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
          "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    Style("Gemma", ("<start_of_turn>", "<end_of_turn>"), "<start_of_turn>user\n{}<end_of_turn>\n",
          "<start_of_turn>model\n"),
)  # fmt: skip
OTHERWISE = ("<|im_sep|>",)
"""Control tokens of templates that only resemble one of these."""

FAILS = kind("template-fails")
NO_PROMPT = kind("template-no-prompt")
PROMPT_DIFFERS = kind("template-prompt-differs")
TURN_LOST = kind("template-loses-turn")
SYSTEM_DROPPED = kind("template-drops-system")
SYSTEM_REFUSED = kind("template-refuses-system")
REWRITES = kind("template-rewrites-turns")
FOREIGN = kind("template-foreign")
UNUSUAL = kind("template-differs")
IN_PIECES = kind("template-token-split")
NONE = kind("template-none")


def check(model: Model) -> Iterator[Outcome]:
    tokenizer = model.tokenizer
    if tokenizer is None or model.direction != "decoder":
        return
    if tokenizer.chat_template is None:
        yield NONE.at(model.where("tokenizer_config.json"))
        return
    where = "chat_template.jinja" if model.has("chat_template.jinja") else model.where("tokenizer_config.json")
    prompt, reason = rendered(tokenizer, TALK[:1], True)
    if prompt is None:
        yield FAILS.at(where, reason=reason)
        return
    shown, _ = rendered(tokenizer, QUESTION, True)
    yield Fact("chat", Words("a question", "一个问题"), same(repr(shown)[:SHOWN]))
    yield from _prompt(tokenizer, where, prompt)
    yield from _turns(tokenizer, where)
    yield from _system(tokenizer, where)
    yield from _style(model, tokenizer, where, prompt)


def rendered(tokenizer: Tokenizer, messages: Messages, prompt: bool) -> tuple[str | None, str]:
    """The text, or None and why the template gives none."""
    try:
        return tokenizer.render_chat(messages, generation_prompt=prompt), ""
    except UserError as error:
        text = str(error)
        return None, (text.partition("got ")[2] or text).rstrip(".")[:200]
    except Exception as error:  # a template is a program of a stranger's
        return None, f"{type(error).__name__}: {str(error)[:160]}"


def _prompt(tokenizer: Tokenizer, where: str, prompt: str) -> Iterator[Outcome]:
    without, _ = rendered(tokenizer, TALK[:1], False)
    answered, _ = rendered(tokenizer, TALK[:2], False)
    if without is None or answered is None:
        return
    if not answered.startswith(prompt):
        at = next((i for i, (a, b) in enumerate(zip(prompt, answered, strict=False)) if a != b), len(answered))
        yield PROMPT_DIFFERS.at(where, prompt=repr(prompt[at : at + 40]), answered=repr(answered[at : at + 40]))
    elif without == prompt:
        header = answered[len(prompt) :].partition(TALK[1]["content"])[0]
        if header.strip():
            yield NO_PROMPT.at(where, header=repr(header))


def _turns(tokenizer: Tokenizer, where: str) -> Iterator[Outcome]:
    text, reason = rendered(tokenizer, TALK, False)
    if text is None:
        yield FAILS.at(where, reason=reason)
        return
    lost = [message["role"] for message in TALK if message["content"] not in text]
    if lost:
        yield TURN_LOST.at(where, role=lost[0])
        return
    first, _ = rendered(tokenizer, TALK[:2], False)
    if first is not None and not text.startswith(first):
        yield REWRITES.at(where)


def _system(tokenizer: Tokenizer, where: str) -> Iterator[Outcome]:
    text, reason = rendered(tokenizer, [SYSTEM, *TALK[:1]], True)
    if text is None:
        yield SYSTEM_REFUSED.at(where, reason=reason)
    elif SYSTEM["content"] not in text:
        yield SYSTEM_DROPPED.at(where)


def _style(model: Model, tokenizer: Tokenizer, where: str, prompt: str) -> Iterator[Outcome]:
    special = {model.names[id] for id in tokenizer.special_ids if id in model.names}
    for style in STYLES:
        if not special.issuperset(style.tokens) or special.intersection(OTHERWISE):
            continue
        if not any(token in prompt for token in style.tokens):
            if not any(special.issuperset(other.tokens) and other.tokens[0] in prompt for other in STYLES):
                yield FOREIGN.at(where, tokens=", ".join(style.tokens), style=style.name)
            continue
        expected = style.turn.format(TALK[0]["content"]) + style.prompt
        if expected not in prompt:
            begin = max(prompt.rfind(style.tokens[0], 0, max(prompt.find(TALK[0]["content"]), 0)), 0)
            yield UNUSUAL.at(where, style=style.name, got=repr(prompt[begin:][:90]), expected=repr(expected))
    for token in dict.fromkeys(CONTROL.findall(prompt)):
        pieces = model.core.encode(token, add_special_tokens=False).ids
        if len(pieces) > 1 and any(token in style.tokens for style in STYLES):
            yield IN_PIECES.at(where, token=token, count=len(pieces))


CHECK: Check[Model] = Check(
    title=Words("Chat template", "对话模板"),
    run=check,
    kinds=(FAILS, NO_PROMPT, PROMPT_DIFFERS, TURN_LOST, SYSTEM_DROPPED, SYSTEM_REFUSED, REWRITES, FOREIGN, UNUSUAL,
           IN_PIECES, NONE),
)  # fmt: skip
