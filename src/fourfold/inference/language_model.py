"""`LanguageModel`: tokenizer + module + device + generation defaults, behind the methods everything calls."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, final

import torch

from fourfold.errors import UserError
from fourfold.files import atomic_folder, write_json
from fourfold.inference.answers import Answer, finish, generation
from fourfold.inference.arithmetic import arithmetic_of
from fourfold.inference.constraints import matcher_for
from fourfold.inference.engine import Engine, EngineLimits, Request
from fourfold.inference.feeding import Prompt, feed_for
from fourfold.inference.results import CHOSEN_BY_FILES, Continuation, Generation, Message, Sampling, TextScore
from fourfold.inference.sampling import Sampler
from fourfold.inference.scoring import score_spans, windows
from fourfold.inference.sharing import score_shared
from fourfold.inference.stopping import StopText
from fourfold.inference.strategies import search_for
from fourfold.models import CausalLM
from fourfold.progress import say, task
from fourfold.tokenizers import TextStream, Tokenizer

PAIRS_AT_ONCE = 1024
"""Contexts with continuations among which shared beginnings are looked for."""
ANSWERS_AHEAD = 128
"""Requests that the engine is given before the first of them has ended."""


class TextTokenizer(Protocol):
    """What a `LanguageModel` needs of its tokenizer: `Tokenizer` has it, and the word tokenizer of n-gram files."""

    chat_template: str | None

    @property
    def eos_id(self) -> int | None: ...
    @property
    def document_start_id(self) -> int | None: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def decode_stream(self) -> TextStream: ...
    def encode_chat(self, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool = True) -> list[int]: ...
    def save(self, folder: Path) -> None: ...


def end_of_turn(tokenizer: TextTokenizer) -> frozenset[int]:
    """The token that ends an assistant's turn, where there is a chat template."""
    if not isinstance(tokenizer, Tokenizer) or tokenizer.chat_template is None:
        return frozenset()
    try:
        end = tokenizer.end_of_turn_id
    except UserError:  # a template that cannot render a plain exchange names no end of turn
        return frozenset()
    return frozenset() if end is None else frozenset({end})


@final
class LanguageModel:
    """A language model of any generation that writes, ready for text.

    Texts are scored from the tokenizer's document-start token, and up to `text_end_id` where one is
    given (word n-grams score the end of the sentence). Generation stops at `stop_ids`.
    An encoder-decoder reads a prompt or context as its source and writes or scores the rest after its own
    start token; a text alone is scored under an empty source, which only means something where it was trained so.
    """

    def __init__(
        self,
        module: CausalLM,
        tokenizer: TextTokenizer,
        *,
        name: str = "model",
        device: torch.device | None = None,
        defaults: Sampling | None = None,
        stop_ids: frozenset[int] | None = None,
        text_end_id: int | None = None,
        answer_start: Sequence[int] = (),
        limits: EngineLimits | None = None,
    ) -> None:
        self.module = module
        self.tokenizer = tokenizer
        self.name = name
        self.device = device or torch.device("cpu")
        self.defaults = defaults or Sampling(temperature=1.0)
        end = tokenizer.eos_id
        self.stop_ids = (frozenset() if end is None else frozenset({end})) if stop_ids is None else stop_ids
        self.answer_start = tuple(answer_start)
        """Ids that every answer of an encoder-decoder begins with."""
        self.limits = limits or EngineLimits()
        """What decoding may use; set before the first text is written."""
        self._engine: Engine | None = None
        self._feed = feed_for(module, tokenizer, name, text_end_id, answer_start)
        self._said_first_ids = False

    @property
    def arithmetic(self) -> str | None:
        """The numbers it computes with, as `arithmetic_of` says."""
        return arithmetic_of(self.module)

    @property
    def capabilities(self) -> frozenset[str]:
        """What this model can do, of generate, chat, score, log_likelihood."""
        chat = {"chat"} if self.tokenizer.chat_template is not None else set()
        return frozenset({"generate", "score", "log_likelihood"} | chat)

    @property
    def engine(self) -> Engine:
        """What decodes for every caller of this model, made when it is first wanted."""
        if self._engine is None or self._engine.model is not self.module:
            self._engine = Engine(self.module, self.device, limits=self.limits)
        return self._engine

    # ---- scoring

    def score(self, texts: Sequence[str], *, window: int | None = None, stride: int | None = None) -> list[TextScore]:
        """Log-probabilities of whole texts, every byte paid for.

        A text longer than `window` tokens (default: the model's context) is scored in windows of which
        each scores `stride` new tokens (default: half the window) given all it holds before them.
        """
        context = self.module.context
        limit = window if context is None else min(window or context, context)
        stride = stride or (1 if limit is None else max(1, limit // 2))
        rows = self._feed.texts(texts)
        spans = [windows(row, limit, stride) for row in rows]
        flat = score_spans(self.module, [span for parts in spans for span in parts], self.device)
        done = iter(flat)
        scores = []
        for text, row, parts in zip(texts, rows, spans, strict=True):
            log_probs = next(done).log_probs
            for _ in parts[1:]:
                log_probs += next(done).log_probs
            scores.append(
                TextScore(
                    ids=[*islice(row.ids, 1, None)],
                    log_probs=log_probs,
                    bytes=len(text.encode()),
                    characters=len(text),
                    stride=stride if len(parts) > 1 else None,
                )
            )
        return scores

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        """Log-likelihood of each continuation after its context.

        Both are encoded together and split at the length of the encoded context; trailing spaces of the
        context move to the continuation; an empty context is the document start (the rule of
        EleutherAI's lm-evaluation-harness, so that scores agree). An encoder-decoder reads the context as
        its source, and the continuation with what the tokenizer adds to a text is its whole target.
        What contexts share at their beginning is read once.
        """
        results = []
        with task("log-likelihood", len(pairs), "items") as work:
            for start in range(0, len(pairs), PAIRS_AT_ONCE):
                spans = self._feed.pairs(pairs[start : start + PAIRS_AT_ONCE])
                part = score_shared(self.module, spans, self.device)
                results += [Continuation(sum(s.log_probs), all(s.greedy), len(s.log_probs)) for s in part]
                work.advance(len(part))
        return results

    # ---- generation

    def generate(
        self, prompts: Sequence[str], sampling: Sampling | Sequence[Sampling] | None = None
    ) -> list[Generation]:
        """Continue each prompt; one `Sampling` for all, or one a prompt."""
        return self._complete([self.tokenizer.encode(prompt) for prompt in prompts], sampling)

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        """The assistant's next turn."""
        return self.chat_batch([messages], sampling)[0]

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | Sequence[Sampling] | None = None
    ) -> list[Generation]:
        """The assistant's next turn in each conversation."""
        return self._complete([self.tokenizer.encode_chat(messages) for messages in conversations], sampling)

    def stream(self, prompt: str, sampling: Sampling | None = None) -> Generator[str, None, Generation]:
        """Pieces of the continuation as they become certain; the generator returns the whole."""
        return self._stream(self.tokenizer.encode(prompt), sampling)

    def stream_chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None
    ) -> Generator[str, None, Generation]:
        """Pieces of the assistant's next turn as they become certain; the generator returns the whole."""
        return self._stream(self.tokenizer.encode_chat(messages), sampling)

    def save(self, folder: str | Path) -> None:
        """Write a folder that `fourfold.load` reads back (for a transformer, Hugging Face's layout)."""
        from fourfold.models.files import save_model

        assert isinstance(self.module, torch.nn.Module)
        with atomic_folder(Path(folder)) as part:
            save_model(self.module, part)
            self.tokenizer.save(part)
            chosen = {name: getattr(self.defaults, name) for name in CHOSEN_BY_FILES}
            neutral = Sampling()
            settings: dict[str, object] = {
                name: value for name, value in chosen.items() if value != getattr(neutral, name)
            }
            if self.answer_start:
                settings["forced_bos_token_id"] = self.answer_start[0]
            # Other tools stop where this file says, so the end of a turn has to stand in it.
            stops = sorted(self.stop_ids | end_of_turn(self.tokenizer))
            write_json(part / "generation_config.json", {**settings, "eos_token_id": stops})

    def request(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tokenizer: TextTokenizer | None = None,
        stop_ids: frozenset[int] | None = None,
        adapters: Sequence[float] | None = None,
    ) -> Request:
        """What the engine is asked for one answer; an adapter may have a tokenizer and end tokens of its own."""
        stop_ids = self.stop_ids if stop_ids is None else stop_ids
        form = matcher_for(sampling.constraint, tokenizer or self.tokenizer, stop_ids)
        return Request(
            ids=prompt.ids,
            max_tokens=sampling.max_tokens,
            sampler=Sampler(sampling.filled_by(self.defaults), prompt.ids, form),
            stop_ids=stop_ids,
            source=prompt.source,
            whole=prompt.whole,
            adapters=adapters,
            top_alternatives=sampling.top_alternatives,
            search=search_for(sampling, self),
        )

    # ---- inside

    def _complete(self, texts: list[list[int]], sampling: Sampling | Sequence[Sampling] | None) -> list[Generation]:
        if sampling is None or isinstance(sampling, Sampling):
            sampling = [sampling or self.defaults] * len(texts)
        self._say_first_ids(texts)
        prompts = [self._feed.prompt(ids) for ids in texts]
        answers: list[list[Answer]] = []
        with task("generate", len(prompts), "answers") as work:
            try:
                for prompt, wanted in zip(prompts, sampling, strict=True):
                    answers.append(self._answers(prompt, wanted))
                    if len(answers) >= ANSWERS_AHEAD:
                        finish(answers[-ANSWERS_AHEAD])
                for group in answers:
                    finish(group)
                    work.advance(1)
            finally:
                for answer in chain.from_iterable(answers):
                    answer.running.cancel()
        return [generation(group, wanted) for group, wanted in zip(answers, sampling, strict=True)]

    def _stream(self, ids: list[int], sampling: Sampling | None) -> Generator[str, None, Generation]:
        sampling = replace(sampling or self.defaults, n=1)
        if sampling.samples > 1:
            (best,) = self._complete([ids], sampling)
            yield best.text
            return best
        self._say_first_ids([ids])
        (answer,) = self._answers(self._feed.prompt(ids), sampling)
        try:
            for token in answer.running:
                if piece := answer.take(token):
                    yield piece
        finally:
            answer.running.cancel()
        if rest := answer.text.finish():
            yield rest
        return answer.result()

    def _answers(self, prompt: Prompt, sampling: Sampling) -> list[Answer]:
        """As many as are sampled, under way; those after the first have the seeds that follow."""
        answers = []
        for number in range(sampling.samples):
            own = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)
            running = self.engine.submit(self.request(prompt, own))
            answers.append(Answer(prompt.tokens, running, StopText(self.tokenizer.decode_stream(), own.stop)))
        return answers

    def _say_first_ids(self, prompts: list[list[int]]) -> None:
        if prompts and not self._said_first_ids:
            self._said_first_ids = True
            say(f"{self.name}: the first prompt begins with ids {prompts[0][:8]}")
