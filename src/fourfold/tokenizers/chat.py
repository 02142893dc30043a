"""Conversations to ids, with two promises: content is never control, and the mask is exact.

The rendered text of a conversation mixes the template's control tokens with what people
wrote. A content that *spells* a control token must stay text:

    content  "stop<|im_end|>"  ──hide──►  "stop\U000f0000"  ──render──►  "…stop\U000f0000<|im_end|>\\n"
                                                                                  split on control tokens,
    ids of "…stop<|im_end|>" as plain text  ◄──restore, encode literally──────────┘

Every other conversation is encoded in one call, exactly as Hugging Face does it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tokenizers import AddedToken, Encoding

from fourfold.errors import UserError

_PRIVATE_USE = range(0xF0000, 0x10FFFE)


class Token(NamedTuple):
    """One token of a rendered conversation and the characters it covers."""

    id: int
    start: int
    end: int
    control: bool


class PieceEncoder(Protocol):
    """Encodes text without adding tokens; offsets count characters and keep white space."""

    def __call__(self, text: str, *, parse_control: bool, first: bool) -> Encoding: ...


class Renderer(Protocol):
    def __call__(self, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool) -> str: ...


class ControlTokens:
    """The control tokens of a vocabulary: where they are in a text, and how to hide them."""

    def __init__(self, tokens: Mapping[int, AddedToken]) -> None:
        self._ids = {token.content: id for id, token in tokens.items()}
        longest_first = sorted(tokens.values(), key=lambda token: -len(token.content))
        self._plain = re.compile("|".join(re.escape(token.content) for token in longest_first) or r"(?!)")
        self._matching = re.compile("|".join(_pattern(token) for token in longest_first) or r"(?!)")
        self._beginnings = {content[:length] for content in self._ids for length in range(1, len(content))}
        self._longest_beginning = max(map(len, self._beginnings), default=0)

    def hide(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Messages in which every spelt control token is one private-use character, and what each stands for.

        The beginning of a control token at the end of a text is hidden as well, so that nothing
        that the template puts behind it can complete the token. Roles keep their ends: templates
        build tokens such as `<|user|>` from them.
        """
        taken = set(json.dumps(messages, ensure_ascii=False, default=str))
        free = (chr(code) for code in _PRIVATE_USE if chr(code) not in taken)
        stand_ins: dict[str, str] = {}

        def stand_in(literal: str) -> str:
            if literal not in stand_ins:
                stand_ins[literal] = next(free)
            return stand_ins[literal]

        def hidden(value: Any, key: object) -> Any:
            if isinstance(value, str):
                text = self._plain.sub(lambda match: stand_in(match[0]), value)
                tail = "" if key == "role" else self._unfinished(text)
                return text[: len(text) - len(tail)] + stand_in(tail) if tail else text
            if isinstance(value, Mapping):
                return {self._named(name, stand_in): hidden(item, name) for name, item in value.items()}
            if isinstance(value, list | tuple):
                return [hidden(item, None) for item in value]
            return value

        safe = [hidden(message, None) for message in messages]
        return safe, {character: literal for literal, character in stand_ins.items()}

    def _named(self, name: str, stand_in: Callable[[str], str]) -> str:
        """A key, which tools may name as they like, with spelt control tokens hidden."""
        return self._plain.sub(lambda match: stand_in(match[0]), name)

    def _unfinished(self, text: str) -> str:
        for length in range(min(self._longest_beginning, len(text)), 0, -1):
            if text[-length:] in self._beginnings:
                return text[-length:]
        return ""

    def split(self, text: str) -> list[tuple[int | None, str]]:
        """(id, text) for each control token and (None, text) for what is between them."""
        pieces: list[tuple[int | None, str]] = []
        position = 0
        for match in self._matching.finditer(text):
            if match.start() > position:
                pieces.append((None, text[position : match.start()]))
            name = next(iter(self._plain.findall(match[0])))
            pieces.append((self._ids[name], match[0]))
            position = match.end()
        if position < len(text):
            pieces.append((None, text[position:]))
        return pieces

    def encode(self, text: str, literals: Mapping[str, str], encode: PieceEncoder) -> list[Token]:
        """The tokens of a rendered text whose hidden strings are put back as plain text."""
        if not literals:
            encoding = encode(text, parse_control=True, first=True)
            known = set(self._ids.values())
            pairs = zip(encoding.ids, encoding.offsets, strict=True)
            return [Token(id, start, end, id in known) for id, (start, end) in pairs]
        tokens: list[Token] = []
        base = 0
        for id, piece in self.split(text):
            if id is not None:
                tokens.append(Token(id, base, base + len(piece), True))
                base += len(piece)
                continue
            plain = restore(piece, literals)
            encoding = encode(plain, parse_control=False, first=base == 0)
            pairs = zip(encoding.ids, encoding.offsets, strict=True)
            tokens += [Token(id, base + start, base + end, False) for id, (start, end) in pairs]
            base += len(plain)
        return tokens


def _pattern(token: AddedToken) -> str:
    """How the `tokenizers` library finds an added token in a text."""
    text = re.escape(token.content)
    if token.single_word:
        text = rf"(?<!\w){text}(?!\w)"
    return (r"\s*" if token.lstrip else "") + text + (r"\s*" if token.rstrip else "")


def restore(text: str, literals: Mapping[str, str]) -> str:
    """Put the hidden strings back."""
    return text.translate({ord(character): literal for character, literal in literals.items()})


def assistant_spans(
    messages: Sequence[Mapping[str, Any]], literals: Mapping[str, str], render: Renderer
) -> list[tuple[int, int]]:
    """The characters of the rendered conversation that each assistant turn adds to its prompt.

    Found by rendering: turn i is what `render(messages[:i + 1])` has beyond
    `render(messages[:i], generation_prompt=True)`. A template for which the first does not
    begin with the second, or which changes a turn once later ones follow, has no such span.
    """
    whole = render(messages, generation_prompt=False)
    spans = []
    for index, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        prompt = render(messages[:index], generation_prompt=True)
        answered = render(messages[: index + 1], generation_prompt=False)
        if not answered.startswith(prompt) or not whole.startswith(answered):
            raise UserError(
                "this chat template rewrites earlier turns, so the assistant's tokens can not be told apart",
                where=f"message {index}",
                advice="Train on conversations with a single assistant turn, or use another template.",
            )
        spans.append((len(restore(prompt, literals)), len(restore(answered, literals))))
    return spans


def assistant_mask(tokens: Sequence[Token], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """True on the tokens of the spans up to and with their last control token (the end of the turn).

    What the template writes behind that token (a line end, say) is not the assistant's; neither is
    a token that began before the span, because it can not follow the prompt.
    """
    mask = [False] * len(tokens)
    for start, end in spans:
        inside = [index for index, token in enumerate(tokens) if start <= token.start and token.end <= end]
        closing = [index for index in inside if tokens[index].control]
        for index in inside:
            mask[index] = not closing or index <= closing[-1]
    return mask
