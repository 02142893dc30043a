"""Turning tokens into text that may be shown: stop strings never leak, characters are never split."""

from __future__ import annotations

from collections.abc import Sequence

from fourfold.tokenizers import TextStream


class StopText:
    """Collects the text of one answer; holds back what may become a stop string."""

    def __init__(self, stream: TextStream, stop: Sequence[str]) -> None:
        self.stream = stream
        self.stop = [s for s in stop if s]
        self.text = ""
        self.shown = 0
        self.stopped = False

    def push(self, id: int) -> str:
        """Take a token; returns the text that is now certain, nothing behind a stop string."""
        return "" if self.stopped else self._add(self.stream.step(id))

    def finish(self) -> str:
        """No token follows; returns the rest of the text."""
        shown = "" if self.stopped else self._add(self.stream.finish())
        if not self.stopped:
            shown += self.text[self.shown :]
            self.shown = len(self.text)
        return shown

    def _add(self, piece: str) -> str:
        begin = max(0, len(self.text) - max((len(s) for s in self.stop), default=0))
        self.text += piece
        found = [at for s in self.stop if (at := self.text.find(s, begin)) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True
        certain = len(self.text) if self.stopped else len(self.text) - self._held()
        shown = self.text[self.shown : certain]
        self.shown = max(self.shown, certain)
        return shown

    def _held(self) -> int:
        """Characters at the end that begin a stop string."""
        sizes = (
            n for s in self.stop for n in range(min(len(s) - 1, len(self.text)), 0, -1) if self.text.endswith(s[:n])
        )
        return max(sizes, default=0)
