"""The engine: requests in, tokens out, one step after the other."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self, final

import torch

from fourfold.errors import FourfoldError, UserError
from fourfold.inference.engine.calls import call, grouped
from fourfold.inference.engine.choosing import choose
from fourfold.inference.engine.memory import make_memory, make_searches, weights_now
from fourfold.inference.engine.request import EngineCounts, EngineLimits, Overloaded, Request, Token
from fourfold.inference.engine.row import Chunk, Row
from fourfold.inference.engine.running import Running
from fourfold.inference.engine.scheduler import Scheduler
from fourfold.models import CausalLM, Linear

IDLE_SECONDS = 60.0
"""After so long without work the engine's thread looks whether it is still wanted."""


@final
class Engine:
    """Decodes any number of requests of one model together (Orca: Yu et al. 2022; pages: Kwon et al. 2023).

    Without `start`, whoever iterates over a `Running` takes the steps. All methods may be called from any thread.
    """

    def __init__(self, model: CausalLM, device: torch.device, *, limits: EngineLimits | None = None) -> None:
        self.model, self.device, self.limits = model, device, limits or EngineLimits()
        self.memory = make_memory(model, self.limits, device)
        self.scheduler = Scheduler(self.memory, self.limits)
        self.searches = make_searches(model, self.limits)
        self._stepping = threading.RLock()
        self._arrivals: deque[Row] = deque()
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._numbers = 0
        self._weights: tuple[object, ...] = ()
        self._tokens_read = self._tokens_written = self._steps = 0

    # ---- requests

    def submit(self, request: Request) -> Running:
        """Take a request in; does not wait. UserError if it can never be served, Overloaded if too many wait."""
        running = Running(self, request)
        room = request.room(self.model.context)
        row = Row(running=running, number=0, ids=list(request.ids), room=room, prompt=len(request.ids))
        self._check(row)
        with self._arrived:
            if self._closed:
                raise FourfoldError("the engine is closed and takes no more requests.")
            if len(self._arrivals) + len(self.scheduler.waiting) + len(self.searches.waiting) >= self.limits.waiting:
                raise Overloaded(f"{self.limits.waiting} requests wait already; try again later.")
            row.number = self._numbers = self._numbers + 1
            if request.search is None:
                self._arrivals.append(row)
            else:
                self.searches.submit(running, room)
            self._arrived.notify()
        return running

    def cancel(self, running: Running) -> None:
        """End a request that was marked as cancelled: now, or when the step that another thread takes is over."""
        if self._stepping.acquire(blocking=False):
            try:
                self._drop_cancelled()
            finally:
                self._stepping.release()
        with self._arrived:
            self._arrived.notify()

    # ---- steps

    def step(self) -> bool:
        """One step: a token for every row that writes, a piece of the prompts of others. False: nothing to do."""
        with self._stepping, torch.inference_mode():
            self._take_in()
            try:
                chunks = self.scheduler.plan()
                for group in grouped(chunks, self.memory):
                    self._call(group)
            except Exception as error:  # not of one request: nobody may wait for ever
                for row in list(self.scheduler.rows()):
                    self._end(row, error)
            self._tokens_written += self.searches.step()
            self._drop_cancelled()
            self._steps += 1
            return any(True for _ in self.scheduler.rows()) or bool(self._arrivals) or self.searches.busy

    def step_for(self, running: Running) -> None:
        """Take a step if this request still waits for one when it is our turn."""
        with self._stepping:
            if running.idle and not self.step() and running.idle:
                raise FourfoldError("the engine has lost a request.")

    def counts(self) -> EngineCounts:
        """What is going on."""
        with self._stepping:
            scheduler, (used, free, cached) = self.scheduler, self.memory.pages()
            return EngineCounts(
                running=len(scheduler.running) + len(self.searches.running),
                waiting=len(scheduler.waiting) + len(self._arrivals) + len(self.searches.waiting),
                swapped=len(scheduler.swapped),
                blocks_used=used,
                blocks_free=free,
                blocks_cached=cached,
                tokens_read=self._tokens_read,
                tokens_written=self._tokens_written,
                prefix_hits=scheduler.prefix_hits,
                prefix_tokens=scheduler.prefix_tokens,
                preemptions=scheduler.preemptions,
                steps=self._steps,
            )

    # ---- a thread of its own

    @property
    def has_thread(self) -> bool:
        return self._thread is not None

    def start(self) -> Self:
        """Step in a thread of the engine's own from now on."""
        with self._arrived:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fourfold-engine", daemon=True)
                self._thread.start()
        return self

    def close(self) -> None:
        """Take no more requests, end those there are with an error, and stop the thread."""
        with self._arrived:
            self._closed = True
            thread = self._thread
            self._arrived.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._stepping:
            self._take_in()
            closed = FourfoldError("the engine was closed before the request was served.")
            for row in list(self.scheduler.rows()):
                self._end(row, closed)
            for running in self.searches.everyone():
                self.searches.end(running, closed)

    def _work(self) -> None:
        while not self._closed:
            if not self.step():
                with self._arrived:
                    self._arrived.wait_for(self._wanted, IDLE_SECONDS)

    def _wanted(self) -> bool:
        return self._closed or bool(self._arrivals) or self.searches.busy

    # ---- inside a step

    def _take_in(self) -> None:
        if self._arrivals and not any(True for _ in self.scheduler.rows()):
            self._notice_new_weights()
        with self._arrived:
            self.scheduler.waiting.extend(self._arrivals)
            self._arrivals.clear()
        self._drop_cancelled()

    def _notice_new_weights(self) -> None:
        """What was kept under other weights is forgotten, and where their kind has changed the memory is new."""
        now = weights_now(self.model)
        if now == self._weights:
            return
        first = next(self.model.parameters(), None) if isinstance(self.model, torch.nn.Module) else None
        if first is not None and not self.memory.holds(first.dtype):
            self.memory = self.scheduler.memory = make_memory(self.model, self.limits, self.device)
        self._weights = now
        self.memory.forget()

    def _call(self, group: list[Chunk]) -> None:
        group = [chunk for chunk in group if not chunk.row.running.cancelled]
        if not group:
            return
        outcome = call(self.model, self.memory, group, self.device)
        self._tokens_read += sum(max(0, min(row.read, row.prompt) - row.read + new) for row, new in group)
        for row, error in outcome.failed.items():
            self._end(row, error)
        if outcome.logits is None:
            return
        rows, places = list(outcome.rows), list(range(len(outcome.rows)))
        for at, row in enumerate(outcome.rows):
            if row.read == row.prompt and self.scheduler.waiting:
                followers = self.scheduler.followers(row)
                rows += followers
                places += [at] * len(followers)
        logits = outcome.logits if len(rows) == len(outcome.rows) else outcome.logits[places]
        for row, token in zip(rows, choose(rows, logits), strict=True):
            self._give(row, token)

    def _give(self, row: Row, token: Token | Exception) -> None:
        """The chosen token to the caller; the row goes on or ends."""
        if row.running.ended:
            return
        if isinstance(token, Exception):
            self._end(row, token)
            return
        assert token.id is not None
        if token.id in row.request.stop_ids:
            self._end(row, None, token._replace(id=None, finish_reason="stop", alternatives=()))
            return
        row.ids.append(token.id)
        self._tokens_written += 1
        if row.written >= row.room:
            self._end(row, None, token, token._replace(id=None, finish_reason="length", alternatives=()))
        else:
            row.running.push(token)

    def _end(self, row: Row, error: Exception | None, *tokens: Token) -> None:
        self.scheduler.leave(row, spoilt=error is not None)
        if tokens:
            row.running.push(*tokens)
        else:
            row.running.end(error)

    def _drop_cancelled(self) -> None:
        for row in [row for row in self.scheduler.rows() if row.running.cancelled]:
            self._end(row, None)
        self.searches.drop_cancelled()

    # ---- what is refused

    def _check(self, row: Row) -> None:
        request, size = row.request, self.model.vocabulary_size
        if not 0 <= min(ids := [*row.ids, *(request.source or ())]) <= max(ids) < size:
            wrong = next(id for id in ids if not 0 <= id < size)
            raise UserError("token id out of range", expected=f"0 to {size - 1}", got=wrong)
        if request.adapters is not None and len(request.adapters) < (deltas := _deltas(self.model)):
            raise UserError("a request gates every adapter", expected=f"{deltas} gates", got=len(request.adapters))
        if why := self.memory.why_never(row):
            raise UserError(why, advice="Ask for fewer tokens, shorten the prompt, or give the engine more memory.")


def _deltas(model: CausalLM) -> int:
    """Low-rank deltas of the layer that has most."""
    if not isinstance(model, torch.nn.Module):
        return 0
    return max((len(layer.deltas) for layer in model.modules() if isinstance(layer, Linear)), default=0)
