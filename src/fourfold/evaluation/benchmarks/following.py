"""IFEval: prompts whose instructions a program checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.benchmarks.benchmark import Benchmark, Data, HubData
from fourfold.evaluation.benchmarks.choices import task_of
from fourfold.evaluation.benchmarks.reading import text_of
from fourfold.evaluation.benchmarks.records import Record, refusal
from fourfold.evaluation.chats import chat_way
from fourfold.evaluation.completions import Attempts, completion_way
from fourfold.evaluation.instructions import can_tell_languages, follow, needs_languages
from fourfold.evaluation.task import CHAT, COMPLETION, Answered, Item, Metric, Task
from fourfold.evaluation.wording import Wording

_EXPECTED = ('"prompt", "instruction_id_list", "kwargs"',)
_ANSWERING = Attempts(max_tokens=1280)
_WORDING = Wording(text="{question}", answer="{choice}")


def _ifeval(record: Record) -> Item:
    (prompt,) = text_of(record, "prompt", expected=_EXPECTED)
    names, arguments = record.values.get("instruction_id_list"), record.values.get("kwargs")
    if not isinstance(names, list) or not isinstance(arguments, list) or len(names) != len(arguments):
        raise refusal(record, _EXPECTED)
    meta = {"instructions": names, "arguments": [_told(one) for one in arguments]}
    return Item(id=str(record.values.get("key", record.line)), prompt=prompt, target=", ".join(names), meta=meta)


def _told(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Without the empty columns that a table fills in."""
    return {name: value for name, value in arguments.items() if value is not None}


def judge_answer(item: Item, text: str) -> Answered:
    """Of the prompt: 1 if all its instructions are followed. Of its instructions: the share that is."""
    found = follow(text, item.meta["instructions"], item.meta["arguments"])
    scores = {
        "prompt_strict": float(all(found.strict)),
        "prompt_loose": float(all(found.loose)),
        "instruction_strict": sum(found.strict) / len(found.strict),
        "instruction_loose": sum(found.loose) / len(found.loose),
    }
    return Answered(text.strip(), scores, {"strict": found.strict, "loose": found.loose})


def _build(benchmark: Benchmark, data: Data) -> Task:
    if any(needs_languages(item.meta.get("instructions", ())) for item in data.items) and not can_tell_languages():
        raise UserError(
            "some instructions ask for a language, and telling it needs a package",
            advice="pip install 'fourfold[evaluation]'",
        )
    kinds = {"prompt": "all instructions of a prompt", "instruction": "share of a prompt's instructions"}
    metrics = tuple(
        Metric(name=f"{kind}_{rule}", method=f"generation, rule-checked, {says}")
        for rule in ("strict", "loose")
        for kind, says in kinds.items()
    )
    ways = {
        CHAT: chat_way(judge=judge_answer, metrics=metrics, attempts=_ANSWERING),
        COMPLETION: completion_way(
            _WORDING, judge=lambda item, texts: judge_answer(item, texts[0]), metrics=metrics, attempts=_ANSWERING
        ),
    }
    return task_of(benchmark, data, ways, dict.fromkeys(ways, _WORDING.templates))


IFEVAL = Benchmark(
    name="ifeval",
    title="IFEval",
    asks="instructions about form, each checked by a program",
    paper="Zhou et al. 2023",
    licence="Apache-2.0",
    hub=HubData("google/IFEval"),
    read=_ifeval,
    build=_build,
    split="train",
    shots=False,
)
