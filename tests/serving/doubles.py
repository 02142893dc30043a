"""What the server's tests serve: a model that says what it is told to, and small models of each generation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
import uvicorn
from torch import Tensor

from fourfold.inference import LanguageModel, Sampling, TextEncoder
from fourfold.models import Step, build_model
from fourfold.models.ngram import train_ngram
from fourfold.serving import Limits, Loaded, create_app
from fourfold.tokenizers import Tokenizer, byte_tokenizer

START, END = 256, 257
POISON = "\u2620"
"""A prompt with it makes the model's output not a number."""


class History:
    """All ids of each row."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(row) for row in self.rows])

    def fork(self, rows: Tensor) -> Self:
        return type(self)([list(self.rows[row]) for row in rows.tolist()])

    def truncate(self, lengths: Tensor) -> None:
        self.rows = [row[:length] for row, length in zip(self.rows, lengths.tolist(), strict=True)]

    def free(self) -> None:
        self.rows = []


class Speaker:
    """A model of the next byte that continues a prompt with the reply to it. It pauses before every token."""

    vocabulary_size = 259

    def __init__(self, reply: Callable[[str], str], pause: float = 0.0, context: int | None = None) -> None:
        self.reply, self.pause, self.context = reply, pause, context

    def __call__(self, ids: Tensor, state: History | None = None) -> tuple[Tensor, History]:
        state = state or self.new_state(len(ids), 0)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def new_state(self, rows: int, capacity: int) -> History:
        return History([[] for _ in range(rows)])

    def hidden(self, step: Step, state: History | None = None) -> Tensor:
        """(B, T, 1) the id that comes next."""
        time.sleep(self.pause)
        state = state or self.new_state(len(step.ids), 0)
        lengths = step.lengths.tolist() if step.lengths is not None else [step.ids.shape[1]] * len(step.ids)
        out = torch.zeros(*step.ids.shape, 1)
        for row, (ids, length) in enumerate(zip(step.ids.tolist(), lengths, strict=True)):
            state.rows[row] += ids[:length]
            out[row, length - 1, 0] = self.next(state.rows[row])
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        wanted = hidden[..., 0]
        found = torch.nn.functional.one_hot(wanted.nan_to_num().long(), 259).float() * 50
        return found.masked_fill(wanted.isnan()[..., None], float("nan"))

    def next(self, ids: list[int]) -> float:
        heading = list(b"assistant\n")
        starts = [at + len(heading) for at in range(len(ids)) if ids[at : at + len(heading)] == heading]
        begin = starts[-1] if starts else max(1, next((at for at, id in enumerate(ids) if id == ord("?")), 0) + 1)
        prompt = bytes(id for id in ids[:begin] if id < START).decode(errors="replace")
        if POISON in prompt:
            return float("nan")
        answer = list(self.reply(prompt).encode())
        written = len(ids) - begin
        return answer[written] if written < len(answer) else END


def speaker(reply: str | Callable[[str], str], *, name: str = "butler", template: str | None = None,
            pause: float = 0.0, context: int | None = None) -> LanguageModel:  # fmt: skip
    tokenizer: Tokenizer = byte_tokenizer()
    if template is not None:
        tokenizer.chat_template = template
    module = Speaker(reply if callable(reply) else lambda prompt: reply, pause, context)
    return LanguageModel(module, tokenizer, name=name, stop_ids=frozenset({END}), defaults=Sampling(temperature=1.0))


def small(kind: str, context: int = 64) -> LanguageModel:
    """An untrained model of a generation; the 5-gram has read a line."""
    tokenizer = byte_tokenizer()
    if kind == "5-gram":
        texts = [list(b"the cat sat on the mat and the cat sat on the hat")] * 3
        return LanguageModel(
            train_ngram(texts, order=5, vocabulary_size=tokenizer.vocabulary_size, bos_id=START), tokenizer, name=kind
        )
    table = {"family": kind, "layers": 1, "hidden_size": 16, "heads": 2, "context": context}
    module: Any = build_model(table, tokenizer.vocabulary_size, seed=0)
    with torch.no_grad():
        for parameter in module.parameters():  # far from ties
            parameter.mul_(3.0) if parameter.dim() > 1 else None
    return LanguageModel(module.eval(), tokenizer, name=kind)


def encoder() -> TextEncoder:
    tokenizer = byte_tokenizer()
    table = {"family": "bert", "layers": 1, "hidden_size": 16, "heads": 2, "context": 64}
    module: Any = build_model(table, tokenizer.vocabulary_size, seed=0)
    return TextEncoder(module.eval(), tokenizer, name="encoder")


def app_of(model: LanguageModel | None, **options: Any) -> Any:
    found = options.pop("encoder", None)
    adapters = options.pop("adapters", None)
    limits = options.setdefault("limits", Limits())
    if model is not None:
        model.limits = limits.engine
    name = model.name if model is not None else "encoder"
    return create_app(lambda: Loaded(model, found, adapters), name=name, **options)


@contextmanager
def served(app: Any, *, wait: bool = True) -> Iterator[str]:
    """The address of a server on a real socket, in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    service = app.state.service
    until(lambda: server.started and not (wait and service.status == "loading"))
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.01)
