"""Reasoning before answering: zero-shot chain of thought and self-consistency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from fourfold.inference import ChatModel, Message, Sampling
from fourfold.measures import last_number
from fourfold.utilization.conversation import Conversation, Solver, chain
from fourfold.utilization.prompting import ask

TRIGGER = "Let's think step by step."
EXTRACTION = "Therefore, the answer is"


def chain_of_thought(
    model: ChatModel, sampling: Sampling | None = None, *, trigger: str = TRIGGER, extraction: str = EXTRACTION
) -> Solver:
    """Zero-shot chain of thought (Kojima et al. 2022, section 3): reason, then extract the answer.

    The first turn asks the question with the trigger, the second for the answer alone; the
    reasoning stays in `meta["reasoning"]`. Departure: the paper completes one text
    ("A: Let's think step by step. …"), here each prompt is a user turn, which is what a
    model tuned for chat expects. An empty `extraction` skips the second turn.
    """
    sampling = sampling or Sampling(temperature=0)

    def pose(batch: Sequence[Conversation]) -> list[Conversation]:
        return [_with_last(c, f"{c.messages[-1]['content']}\n{trigger}") for c in batch]

    def keep_reasoning(batch: Sequence[Conversation]) -> list[Conversation]:
        return [c.noting(reasoning=c.output).saying("user", extraction) for c in batch]

    reason = [pose, ask(model, sampling)]
    if not extraction:
        return chain(reason)
    short = replace(sampling, max_tokens=min(sampling.max_tokens, 32))
    return chain([*reason, keep_reasoning, ask(model, short)])


def self_consistency(
    path: Callable[[int], Solver], n: int = 5, *, answer_of: Callable[[str], str | None] = last_number
) -> Solver:
    """The most frequent answer of `n` sampled reasoning paths (Wang et al. 2023, section 2).

    `path(i)` makes the solver of path i and must sample with a seed of its own, e.g.
    `lambda i: chain_of_thought(model, Sampling(temperature=0.7, seed=i))`. Paths without an
    answer do not vote; ties go to the answer that came first. The output is the winning
    answer, the votes stay in `meta["votes"]`.
    """
    if n < 1:
        raise ValueError(f"expected at least one path, got {n}")

    def solve(batch: Sequence[Conversation]) -> list[Conversation]:
        paths = [path(i)(batch) for i in range(n)]
        return [_voted([one[row] for one in paths], answer_of) for row in range(len(batch))]

    return solve


def majority(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer, the earliest of equals; None when there is none."""
    counted = Counter(answer for answer in answers if answer is not None)
    return counted.most_common(1)[0][0] if counted else None


def _voted(paths: Sequence[Conversation], answer_of: Callable[[str], str | None]) -> Conversation:
    votes = [answer_of(path.output) for path in paths]
    winner = majority(votes)
    chosen = paths[votes.index(winner)] if winner is not None else paths[0]
    return replace(chosen, output=winner if winner is not None else chosen.output).noting(votes=votes)


def _with_last(conversation: Conversation, content: str) -> Conversation:
    last: Message = {**conversation.messages[-1], "content": content}
    return replace(conversation, messages=(*conversation.messages[:-1], last))
