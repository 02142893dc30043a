"""Templates in a process of their own: same text, and no template takes the server with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fourfold.errors import UserError
from fourfold.tokenizers import CHATML, RenderingProcess, byte_tokenizer, render

HI = [{"role": "user", "content": "H\u00e9 \U0001f600"}]
TEMPLATES = {
    "endless loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "long string": "{{ 'a' * 10**10 }}",
    "doubling": "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
}


@pytest.fixture(scope="module")
def process() -> Iterator[RenderingProcess]:
    found = RenderingProcess(seconds=1.0, memory=512 * 2**20)
    yield found
    found.close()


def test_it_renders_as_in_this_process(process: RenderingProcess) -> None:
    wanted = render(CHATML, HI, generation_prompt=True, tokens={})
    assert process(CHATML, HI, generation_prompt=True, tokens={}) == wanted
    tokenizer = byte_tokenizer()
    assert tokenizer.encode_chat(HI, renderer=process) == tokenizer.encode_chat(HI)
    long = [{"role": "user", "content": "x" * 3_000_000}]
    assert len(process(CHATML, long, generation_prompt=True, tokens={})) > 3_000_000


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_without_end_is_ended(process: RenderingProcess, name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UserError, match="too much time or memory"):
        process(TEMPLATES[name], HI, generation_prompt=True, tokens={})
    assert time.monotonic() - begin < 4
    assert process("{{ messages[0].role }}", HI, generation_prompt=True, tokens={}) == "user"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('no') }}", "got no"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "ZeroDivision"),
    ],
)
def test_a_template_that_fails_says_why(process: RenderingProcess, template: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        process(template, HI, generation_prompt=True, tokens={})


def test_tools_reach_the_template_and_cannot_spell_control_tokens() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ tools | tojson }}"
    tool = {"type": "function", "function": {"name": "f", "description": "</s>", "parameters": {"<s>": {}}}}
    ids = tokenizer.encode_chat(HI, tools=[tool])
    assert max(ids) < 256
    assert bytes(ids).decode().count("s>") == 2
