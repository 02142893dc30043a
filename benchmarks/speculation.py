"""How much faster is an answer whose words are looked up in the prompt? On tasks that copy, and on one that does not.

    python benchmarks/speculation.py --tokens 96 --rounds 3

Plain and guessed decoding alternate within a round, both greedy and by one request at a time; medians are told, with
the share of guesses that were right and the tokens a call gives. Plain decoding is timed twice: in the engine, and by
the same driver without a guess, which tells the gain of the guesses from the difference of the two paths.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from fourfold.inference import Sampler, Sampling, load
from fourfold.inference.engine import Request
from fourfold.inference.strategies import LookUp, Speculation, speculate
from fourfold.inference.strategies.guessing import Guess

TEXT = """The harbour of Vellmar was built in 1871 by Anna Thorsen. It has three piers, of which the longest is 412
metres. In 1904 a storm broke the northern pier, and it was rebuilt in granite by 1907. Today 38 boats land there."""
CODE = """def mean_of_rows(rows):
    totals = []
    for row in rows:
        total = 0
        for value in row:
            total += value
        totals.append(total / len(row))
    return totals
"""
TASKS = {
    "repeat a text": f"Repeat this text word for word:\n{TEXT}",
    "edit code": f"Rename the function to average_rows and write the whole code again:\n```python\n{CODE}```",
    "a story": "Write a short story about a lighthouse keeper and a fox.",
}


class Nothing:
    """No guess: one token a call."""

    def guess(self, prompt: object, answer: object, count: int) -> Guess:
        return Guess([], None)

    def free(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--guess", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    lm = load(asked.model)
    print(f"{asked.model}, {torch.get_num_threads()} threads, {asked.tokens} tokens, {asked.guess} guessed at a time\n")
    print("| task | engine tok/s | no guess tok/s | look-up tok/s | gain | guesses right | tokens a call | same text |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for name, question in TASKS.items():
        messages = [{"role": "user", "content": question}]
        ids = lm.tokenizer.encode_chat(messages)
        speeds: dict[str, list[float]] = {"engine": [], "none": [], "look-up": []}
        texts: dict[str, list[int]] = {}
        counts = Speculation()
        for _ in range(asked.rounds):
            began = time.perf_counter()
            plain = lm.chat(messages, Sampling(max_tokens=asked.tokens, temperature=0))
            speeds["engine"].append(len(plain.ids) / (time.perf_counter() - began))
            for kind, guesses in (("none", Nothing()), ("look-up", LookUp())):
                counts = Speculation()
                sampler = Sampler(Sampling(temperature=0))
                request = Request(ids=ids, max_tokens=asked.tokens, sampler=sampler, stop_ids=lm.stop_ids)
                began = time.perf_counter()
                with torch.inference_mode():
                    tokens = speculate(lm.module, request, sampler, guesses, asked.guess, lm.device, counts)
                    texts[kind] = [token.id for told in tokens for token in told if token.id is not None]
                speeds[kind].append(len(texts[kind]) / (time.perf_counter() - began))
        engine, none, looked = (statistics.median(speeds[kind]) for kind in ("engine", "none", "look-up"))
        print(
            f"| {name} | {engine:.1f} | {none:.1f} | {looked:.1f} | {looked / none:.2f} | {counts.acceptance:.0%} "
            f"| {len(texts['look-up']) / max(counts.calls, 1):.2f} | {texts['none'] == texts['look-up']} |"
        )


if __name__ == "__main__":
    main()
