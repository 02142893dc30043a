"""The way of asking by a single turn of a chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fourfold.errors import UserError
from fourfold.evaluation.choices import is_able
from fourfold.evaluation.completions import Attempts
from fourfold.evaluation.task import Answered, Item, Metric, Way
from fourfold.inference import ChatModel, Message


def chat_way(*, judge: Callable[[Item, str], Answered], metrics: tuple[Metric, ...], attempts: Attempts) -> Way:
    """The item's prompt as the user's turn; the assistant's turn is judged."""

    def answer(model: object, label: str, items: Sequence[Item]) -> list[Answered]:
        if not isinstance(model, ChatModel) or not is_able(model, "chat"):
            raise UserError(f"'{label}' cannot chat", advice="Let it continue the text: --method completion.")
        conversations: list[list[Message]] = [[{"role": "user", "content": item.prompt}] for item in items]
        written = model.chat_batch(conversations, attempts.sampling(0))
        return [judge(item, one.text) for item, one in zip(items, written, strict=True)]

    return Way(metrics=metrics, answer=answer)
