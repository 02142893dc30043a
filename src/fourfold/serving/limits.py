"""How much a server takes: sizes, times, numbers."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.inference import EngineLimits


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server. Times are in seconds, sizes in bytes."""

    body: int = 4 * 2**20
    answer_tokens: int | None = None
    """The longest answer; more is refused. None: what the model's context holds."""
    rows: int = 32
    """Answers written at once."""
    waiting: int = 128
    """Answers that may wait beside those; the next one is told to come back later."""
    seconds: float = 600.0
    """For one request, from its last byte read to the last written."""
    reading_seconds: float = 30.0
    """For a client to send its request."""
    drain_seconds: float = 30.0
    """For open answers after SIGTERM."""
    template_seconds: float = 2.0
    template_bytes: int = 512 * 2**20
    """Memory of the process that renders chat templates."""
    choices: int = 64
    """Answers of one request."""
    inputs: int = 2048
    """Texts of one request for embeddings."""
    schema_bytes: int = 64 * 2**10
    schema_depth: int = 32
    kv_bytes: int | None = None
    """Memory for keys and values; None: the engine's own choice."""
    batch_invariant: bool = False

    @property
    def engine(self) -> EngineLimits:
        """What the engine may use. The server counts who waits, so that the engine never refuses."""
        waiting = self.rows + self.waiting + self.choices
        return EngineLimits(
            rows=self.rows, waiting=waiting, kv_bytes=self.kv_bytes, batch_invariant=self.batch_invariant
        )
