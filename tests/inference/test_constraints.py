"""Whatever a random model writes under a constraint has its form; bombs fail alone and quickly."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.inference import LanguageModel, Sampler, Sampling, choice, grammar, json_schema, regex
from fourfold.inference.constraints import matcher_for
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer, train_byte_bpe

pytest.importorskip("llguidance")

SIZES = {"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": 400}


def make_model(tokenizer) -> LanguageModel:
    return LanguageModel(build_model(SIZES, tokenizer.vocabulary_size, seed=1).eval(), tokenizer)


BYTES = make_model(byte_tokenizer())
PIECES = make_model(train_byte_bpe(['{"name": "Ann", "true": [1, 2, 3], "words": null}'] * 20, vocabulary_size=300))


def write(constraint, *, model=BYTES, seed=0, max_tokens=300, **options):
    return model.generate(["x"], Sampling(constraint=constraint, seed=seed, max_tokens=max_tokens, **options))[0]


def objects(inner):
    return st.dictionaries(st.text("abz é\"\\", min_size=1, max_size=3), inner, max_size=3).map(
        lambda parts: {
            "type": "object", "properties": parts, "required": sorted(parts), "additionalProperties": False,
        }
    )  # fmt: skip


LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.integers(-20, 20).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 30}),
    st.integers(0, 5).map(lambda size: {"type": "string", "maxLength": size}),
    st.lists(st.one_of(st.text(max_size=4), st.integers(0, 9)), min_size=1, max_size=3).map(lambda v: {"enum": v}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        inner.map(lambda items: {"type": "array", "items": items, "minItems": 1, "maxItems": 2}),
        st.lists(inner, min_size=2, max_size=2).map(lambda parts: {"anyOf": parts}),
    ),
    max_leaves=4,
)


def valid(value: Any, schema: dict[str, Any]) -> bool:
    """The part of JSON schema that is drawn here, written down by itself."""
    if "anyOf" in schema:
        return any(valid(value, part) for part in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema["type"]
    if kind == "object":
        parts = schema["properties"]
        return (
            isinstance(value, dict) and value.keys() == parts.keys() and all(valid(value[k], parts[k]) for k in parts)
        )
    if kind == "array":
        return isinstance(value, list) and 1 <= len(value) <= 2 and all(valid(v, schema["items"]) for v in value)
    if kind == "integer":
        return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
    if kind == "string":
        return isinstance(value, str) and len(value) <= schema["maxLength"]
    return value is None if kind == "null" else isinstance(value, bool)


@settings(max_examples=40, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 99), greedy=st.booleans())
def test_every_answer_under_a_schema_parses_and_is_valid(schema, seed, greedy):
    model = (BYTES, PIECES)[seed % 2]
    answer = write(json_schema(schema), model=model, seed=seed, temperature=0.0 if greedy else 1.0)
    if answer.finish_reason == "stop":
        assert valid(json.loads(answer.text), schema)
    else:
        assert len(answer.ids) == 300


@pytest.mark.parametrize("model", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_regex_choice_and_grammar(model):
    number = re.compile(r"\d{3}-[a-z]{2,4}")
    options = ["yes", 'a "quoted"\nline', "\\ü汉", "yes and no"]
    for seed in range(8):
        answer = write(regex(number.pattern), model=model, seed=seed)
        assert number.fullmatch(answer.text)
        assert answer.finish_reason == "stop"
        assert write(choice(options), model=model, seed=seed).text in options
        nested = write(grammar('start: "(" start ")" | "x"'), model=model, seed=seed, max_tokens=30)
        assert re.fullmatch(r"\(*x\)*" if nested.finish_reason == "stop" else r"\(*x?\)*", nested.text)
        assert nested.finish_reason == "length" or nested.text.count("(") == nested.text.count(")")


def test_rows_of_one_batch_keep_their_own_forms():
    unbound = Sampling(max_tokens=9, seed=2)
    wanted = [Sampling(constraint=regex("a{5}"), seed=1), unbound, Sampling(constraint=choice(["b"]))]
    first, middle, last = BYTES.generate(["x", "x", "x"], wanted)
    assert (first.text, last.text) == ("aaaaa", "b")
    assert middle.ids == BYTES.generate(["x"], unbound)[0].ids


def test_an_answer_cut_off_says_length():
    answer = write(regex("a{50}"), max_tokens=10)
    assert (answer.text, answer.finish_reason) == ("a" * 10, "length")


def test_the_state_follows_an_answer_that_goes_back():
    tokenizer = byte_tokenizer()
    matcher = matcher_for(regex("ab|cd"), tokenizer, frozenset({tokenizer.eos_id}))
    assert matcher is not None
    a, b, c, d = (tokenizer.encode(letter)[0] for letter in "abcd")

    def after(*ids: int) -> set[int]:
        return set(matcher.allowed(ids, tokenizer.vocabulary_size + 7).nonzero().flatten().tolist())

    assert after() == {a, c}
    assert after(a) == {b}
    assert after(c) == {d}
    assert after(c, d) == {tokenizer.eos_id}
    assert after(a) == {b}
    with pytest.raises(UserError, match="does not allow what was written"):
        after(d)


def test_probabilities_are_those_of_what_is_left():
    tokenizer = byte_tokenizer()
    matcher = matcher_for(choice(["a", "b"]), tokenizer, frozenset({tokenizer.eos_id}))
    logits = torch.randn(tokenizer.vocabulary_size)
    found = Sampler(Sampling(), (), matcher).distribution(logits)
    ids = [tokenizer.encode(letter)[0] for letter in "ab"]
    torch.testing.assert_close(found[ids], logits[ids].softmax(-1))


BOMBS = {
    "quantifiers": lambda: regex("(((a{100}){100}){100}){100}"),
    "exponential": lambda: regex("((a|b)*a(a|b){60})c"),
    "unicode": lambda: regex(r"(\w{1,500}\s){1,500}"),
    "no expression": lambda: regex("(a"),
    "look ahead": lambda: regex("(?=a)b"),
    "too long": lambda: regex("a" * 100_000),
    "all of any": lambda: json_schema(
        {"allOf": [{"anyOf": [{"properties": {f"{j} {i}": {}}} for i in range(30)]} for j in range(8)]}
    ),
    "far away": lambda: json_schema({"$ref": "http://127.0.0.1:9/schema.json"}),
    "unknown keyword": lambda: json_schema({"type": "array", "uniqueItems": True}),
    "endless": lambda: json_schema({"type": "array", "minItems": 10**8, "items": {"type": "string"}}),
    "ambiguous": lambda: grammar('start: a\na: a a | a a a | "x" | ""\n'),
    "no rule": lambda: grammar("start: nothing"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_in_an_answer_or_a_refusal(name):
    began = time.monotonic()
    with contextlib.suppress(UserError):
        write(BOMBS[name](), max_tokens=40)
    assert time.monotonic() - began < 10


def test_a_deep_schema_is_refused_before_it_is_read():
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UserError, match="nested too deeply"):
        json_schema(schema)
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UserError, match="not a JSON schema"):
        json_schema(schema)


@pytest.mark.parametrize("schema", ["{", "[]", "3", {"a": {1, 2}}])
def test_what_is_no_schema_is_refused(schema):
    with pytest.raises(UserError, match="not a JSON schema"):
        json_schema(schema)


def test_a_form_needs_an_end_and_a_tokenizer_of_pieces():
    with pytest.raises(UserError, match="a token that ends it"):
        matcher_for(regex("a"), byte_tokenizer(), frozenset())
    with pytest.raises(UserError, match="a tokenizer of bytes or pieces"):
        matcher_for(regex("a"), object(), frozenset({1}))
