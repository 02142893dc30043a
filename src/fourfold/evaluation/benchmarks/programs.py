"""HumanEval: a function is written after its docstring and run against tests, in the sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache

from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data, HubData
from fourfold.evaluation.benchmarks.choices import task_of
from fourfold.evaluation.benchmarks.reading import text_of
from fourfold.evaluation.benchmarks.records import Record
from fourfold.evaluation.completions import Attempts, Judge, completion_way, drawn
from fourfold.evaluation.task import COMPLETION, SAMPLED_COMPLETION, Answered, Item, Metric, Task
from fourfold.evaluation.wording import Wording
from fourfold.measures import pass_at_k
from fourfold.progress import say
from fourfold.sandbox import Execution, Limits, run_python

WRITING = Attempts(max_tokens=512, stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint"))
"""The stops of Chen et al. 2021, section 2.1."""
DRAWN = drawn(WRITING, count=10, temperature=0.8, top_p=0.95)
"""Temperature and top-p of Chen et al. 2021 for k = 10, with 10 attempts where they drew 200."""
LIMITS = Limits(seconds=10, cpu_seconds=8, memory=512 * 2**20)
_WORDING = Wording(text="{question}", answer="{solution}")


def _humaneval(record: Record) -> Item:
    names = ("task_id", "prompt", "test", "entry_point")
    task, prompt, test, entry = text_of(record, *names, expected=('"task_id", "prompt", "test", "entry_point"',))
    solution = str(record.values.get("canonical_solution", ""))
    return Item(id=task, prompt=prompt, target=entry, meta={"test": test, "entry_point": entry, "solution": solution})


def run_tests(item: Item, body: str) -> Execution:
    """Run a completion with the tests of its item; `ok` says that every one passed.

    The last line must be a word drawn anew, so that leaving early with code 0 is no success.
    """
    word = secrets.token_hex(16)
    program = f"{item.prompt}{body}\n{item.meta['test']}\ncheck({item.meta['entry_point']})\nprint('\\n{word}')\n"
    done = run_python(program, limits=LIMITS)
    passed = done.ok and done.stdout.endswith(f"\n{word}\n")
    return done if passed or not done.ok else _failed(done)


def _failed(done: Execution) -> Execution:
    return Execution(**{**vars(done), "exit": 1})


def judge_programs(ks: Sequence[int]) -> Judge:
    """pass@k for each k, by running every attempt."""

    def judge(item: Item, texts: Sequence[str]) -> Answered:
        done = [run_tests(item, text) for text in texts]
        passed = [one.ok for one in done]
        meta = {"passed": passed, "isolation": list(done[0].isolation), "weakness": done[0].weakness}
        meta |= {"errors": [_why(one) for one in done], "attempts": list(texts)[1:]}
        if not done[0].isolated:
            _warn(f"programs run with {' and '.join(done[0].isolation)} alone: {done[0].weakness}")
        scores = {f"pass@{k}": pass_at_k(len(texts), sum(passed), k) for k in ks}
        return Answered(texts[0], scores, meta)

    return judge


@cache
def _warn(text: str) -> None:
    """Once, not for every item."""
    say(text)


def _why(done: Execution) -> str:
    """One line on why an attempt failed; "" if it did not."""
    if done.ok:
        return ""
    last = done.stderr.strip().splitlines()
    return "out of time" if done.timed_out else (last[-1][:200] if last else f"exit {done.exit}")


def _build(benchmark: Benchmark, data: Data) -> Task:
    ways = {}
    for name, attempts, ks in ((COMPLETION, WRITING, (1,)), (SAMPLED_COMPLETION, DRAWN, (1, 5, 10))):
        how = "greedy" if attempts.count == 1 else f"{attempts.count} attempts at temperature {attempts.temperature:g}"
        metrics = tuple(Metric(name=f"pass@{k}", method=f"programs run against tests, {how}") for k in ks)
        ways[name] = completion_way(_WORDING, judge=judge_programs(ks), metrics=metrics, attempts=attempts)
    return task_of(benchmark, data, ways, dict.fromkeys(ways, _WORDING.templates))


HUMANEVAL = Benchmark(
    name="humaneval",
    title="HumanEval",
    asks="Python functions from their docstrings, run against tests",
    paper="Chen et al. 2021",
    licence="MIT",
    hub=HubData("openai/openai_humaneval", "openai_humaneval"),
    read=_humaneval,
    build=_build,
    shots=False,
)
