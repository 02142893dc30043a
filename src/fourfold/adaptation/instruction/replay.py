"""Replay: the model's own answers to ordinary questions, mixed into training so that it keeps them.

Rehearsal with samples of the model itself follows Huang et al. 2024, "Mitigating
Catastrophic Forgetting in Large Language Models with Self-Synthesized Rehearsal", section 3;
departure: the prompts are ours instead of synthesised, and answers are not refined.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from fourfold.errors import UserError
from fourfold.inference import ChatModel, Generation, Message, Sampling
from fourfold.progress import task

AT_ONCE = 16
"""Prompts of one call, so that progress is seen."""
GREEDY = Sampling(max_tokens=96, temperature=0.0)

_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]")


@dataclass(frozen=True)
class GeneralQuestion:
    """A question of common knowledge; an answer that contains one of the keywords is right."""

    question: str
    keywords: tuple[str, ...]


def general_prompts(language: Literal["en", "zh", "both"] = "en") -> list[str]:
    """Ordinary requests of our own writing, for replay and preferences. None is a `general_questions` question."""
    return [record["prompt"] for record in _data("general_prompts") if language in (record["language"], "both")]


def general_questions() -> list[GeneralQuestion]:
    """Questions held out for measuring what tuning made a model forget."""
    return [GeneralQuestion(record["question"], tuple(record["keywords"])) for record in _data("general_questions")]


def answer_prompts(model: ChatModel, prompts: Sequence[str], sampling: Sampling = GREEDY) -> list[Generation]:
    """One answer to each prompt, in batches, with progress."""
    answers: list[Generation] = []
    with task("answers", len(prompts), "answers") as work:
        for start in range(0, len(prompts), AT_ONCE):
            chats: list[list[Message]] = [
                [{"role": "user", "content": prompt}] for prompt in prompts[start : start + AT_ONCE]
            ]
            answers += model.chat_batch(chats, sampling)
            work.advance(len(chats))
    return answers


def replay_conversations(model: ChatModel, prompts: Sequence[str], sampling: Sampling = GREEDY) -> list[list[Message]]:
    """What the model itself answers now, as training conversations.

    An answer that ran into the limit is cut after its last whole sentence, so that no end of
    turn is taught in the middle of one; an answer without a whole sentence is left out.
    """
    conversations: list[list[Message]] = []
    for prompt, answer in zip(prompts, answer_prompts(model, prompts, sampling), strict=True):
        text = answer.text.strip() if answer.finish_reason == "stop" else whole_sentences(answer.text)
        if text:
            conversations.append([{"role": "user", "content": prompt}, {"role": "assistant", "content": text}])
    return conversations


def whole_sentences(text: str) -> str:
    """The text up to its last sentence end; empty when there is none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text + "\n")]
    return text[: ends[-1]].strip() if ends else ""


def mix(
    conversations: Sequence[Sequence[Message]], replay: Sequence[Sequence[Message]], share: float, seed: int = 0
) -> list[list[Message]]:
    """As many examples as `conversations`, a `share` of them from `replay`, shuffled.

    The number stays so that runs with and without replay take equal steps. Replayed
    conversations repeat, evenly, when there are too few.
    """
    if not 0 <= share < 1:
        raise UserError("the replay share is out of range", expected="0 to less than 1", got=share)
    wanted = round(len(conversations) * share)
    if wanted and not replay:
        raise UserError("there is nothing to replay", expected=f"{wanted} conversations", got=0)
    generator = random.Random(seed)
    repeats = -(-wanted // len(replay)) if wanted else 0
    chosen = [one for _ in range(repeats) for one in generator.sample(list(replay), len(replay))][:wanted]
    mixed = [list(one) for one in [*conversations[: len(conversations) - wanted], *chosen]]
    generator.shuffle(mixed)
    return mixed


def _data(name: str) -> list[dict[str, Any]]:
    text = files("fourfold.adaptation.instruction").joinpath("data", f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
