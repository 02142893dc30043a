"""Three libraries that hold an answer to a JSON schema: reading the schema, and the mask of each token.

pip install llguidance xgrammar outlines-core
python benchmarks/constraint_libraries.py llguidance xgrammar outlines_core
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from fourfold.inference import LanguageModel, load
from fourfold.tokenizers import BYTE_OF_CHARACTER


def record(**parts: object) -> dict[str, object]:
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


TEXT, MAIL = {"type": "string", "maxLength": 30}, {"type": "string", "pattern": "^[a-z]+@[a-z]+\\.com$"}
PERSON = record(name=TEXT, email=MAIL, kind={"enum": ["a", "b", "c"]})
NODE = record(v={"type": "number"}, next={"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]})
CASES = {
    "flat": (
        record(name={"type": "string"}, age={"type": "integer"}, ok={"type": "boolean"}),
        '{"name": "Ann Lee", "age": 31, "ok": true}',
    ),
    "nested": (
        record(people={"type": "array", "maxItems": 5, "items": PERSON}),
        '{"people": [{"name": "Ann", "email": "ann@mail.com", "kind": "b"}]}',
    ),
    "recursive": ({"$defs": {"n": NODE}, "$ref": "#/$defs/n"}, '{"v": 1.5, "next": {"v": 2, "next": null}}'),
}
Walk = tuple[Callable[[], object], Callable[[int], object]]
"""The mask of the next token, and taking a token."""


def llguidance(lm: LanguageModel) -> Callable[[str], Walk]:
    from llguidance import LLMatcher, LLTokenizer

    vocabulary = LLTokenizer(lm.tokenizer.core_copy().to_str(), n_vocab=lm.module.vocabulary_size)

    def read(schema: str) -> Walk:
        matcher = LLMatcher(vocabulary, LLMatcher.grammar_from_json_schema(schema))
        return matcher.compute_bitmask, matcher.consume_token

    return read


def xgrammar(lm: LanguageModel) -> Callable[[str], Walk]:
    import xgrammar

    size, words = lm.module.vocabulary_size, lm.tokenizer.core_copy().get_vocab(True)
    names = [""] * size
    for name, id in words.items():
        names[id] = name
    kind = xgrammar.VocabType.BYTE_LEVEL
    known = xgrammar.TokenizerInfo(names, kind, vocab_size=size, stop_token_ids=sorted(lm.stop_ids))
    compiler = xgrammar.GrammarCompiler(known, max_threads=1, cache_enabled=False)
    mask = xgrammar.allocate_token_bitmask(1, size)

    def read(schema: str) -> Walk:
        matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(schema))
        return lambda: matcher.fill_next_token_bitmask(mask), matcher.accept_token

    return read


def outlines_core(lm: LanguageModel) -> Callable[[str], Walk]:
    from outlines_core import Guide, Index, Vocabulary, json_schema

    words: dict[bytes, list[int]] = {}
    for name, id in lm.tokenizer.core_copy().get_vocab(True).items():
        if id not in lm.tokenizer.special_ids:
            words.setdefault(bytes(BYTE_OF_CHARACTER[letter] for letter in name), []).append(id)
    vocabulary = Vocabulary(min(lm.stop_ids), words)

    def read(schema: str) -> Walk:
        guide = Guide(Index(json_schema.build_regex_from_schema(schema), vocabulary))
        return guide.get_tokens, guide.advance

    return read


LIBRARIES = {"llguidance": llguidance, "xgrammar": xgrammar, "outlines_core": outlines_core}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("libraries", nargs="+", choices=LIBRARIES)
    lm = load("smollm2")
    for name in parser.parse_args().libraries:
        began = time.perf_counter()
        read = LIBRARIES[name](lm)
        print(f"{name:14} tokenizer {1000 * (time.perf_counter() - began):9.2f} ms")
        for case, (schema, answer) in CASES.items():
            began = time.perf_counter()
            mask, take = read(json.dumps(schema))
            reading, times = time.perf_counter() - began, []
            for id in lm.tokenizer.encode(answer):
                began = time.perf_counter()
                mask()
                times.append(time.perf_counter() - began)
                take(id)
            median, worst = 1e6 * statistics.median(times), 1e6 * max(times)
            print(f"{'':14} {case:9} {1000 * reading:9.2f} ms, a mask {median:7.1f} µs, at most {worst:7.1f}")


if __name__ == "__main__":
    main()
