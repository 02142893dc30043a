"""Chat templates: the Jinja environment in which Hugging Face templates are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn, Protocol

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fourfold.errors import UserError

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class _Generation(Extension):
    """Reads `{% generation %} … {% endgeneration %}` as its body: the mask is found without it."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares it as an instance attribute)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Plain JSON; Jinja's own filter would escape HTML characters."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


@lru_cache(maxsize=32)
def _compile(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template)


Tools = Sequence[Mapping[str, Any]]
"""Functions a model may call, in the layout of the OpenAI API."""


class TemplateRenderer(Protocol):
    """Renders a template as `render` does, perhaps elsewhere: a server does it in a process that it can end."""

    def __call__(
        self,
        template: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool,
        tokens: Mapping[str, str],
        tools: Tools | None = None,
    ) -> str: ...


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    generation_prompt: bool,
    tokens: Mapping[str, str],
    tools: Tools | None = None,
) -> str:
    """The conversation as the text the model was trained to read.

    Templates run in Jinja's sandbox, see `bos_token` and the like, and may refuse with `raise_exception`.
    """
    try:
        return _compile(template).render(
            messages=messages, tools=tools, documents=None, add_generation_prompt=generation_prompt, **tokens
        )
    except jinja2.TemplateError as error:
        reason = error.message or type(error).__name__
        raise UserError("the chat template refuses these messages", got=reason) from error
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            "the chat template can not read these messages",
            expected='objects such as {"role": "user", "content": "…"}',
            got=str(error),
        ) from error
