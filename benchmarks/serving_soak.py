"""Many clients for minutes, a fifth of them hanging up in the middle: no error, no leaked block, every answer right.

    python benchmarks/serving_soak.py [MODEL] --clients 64 --minutes 5

Every client asks one of `--kinds` different requests (random length of prompt and answer, greedy or sampled with a
seed), again and again. Each was asked once alone before; the answer among the others has to be the same, and of an
answer that was left in the middle the part that was read has to be the beginning of it. The server runs with
--batch-invariant, without which only packed weights promise more than the same distribution (docs/engine.md). At the
end the server's own numbers say whether blocks are still held.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from serving.client import Answer, ask, get, metric, share, started

WORDS = ("the", "of", "people", "water", "city", "school", "when", "ship", "forest", "rule", "history", "light", "door")


def request(number: int) -> dict[str, Any]:
    """One kind of request, the same each time."""
    chance = random.Random(number)
    prompt = " ".join(chance.choice(WORDS) for _ in range(chance.choice([3, 10, 40, 120])))
    sampled = {"temperature": 0.8, "top_p": 0.95, "seed": number} if number % 2 else {"temperature": 0}
    return {"prompt": prompt, "max_tokens": chance.randrange(4, 64), **sampled}


class Soak:
    """What is asked and what came of it."""

    def __init__(self, address: str, options: argparse.Namespace) -> None:
        self.address, self.options = address, options
        self.bodies = [request(number) for number in range(options.kinds)]
        self.alone: list[str] = []
        self.counts: Counter[str] = Counter()
        self.first: list[float] = []
        self.complaints: list[str] = []

    async def learn(self) -> None:
        for body in self.bodies:
            answer = await ask(self.address, "/v1/completions", body)
            assert answer.complete, answer.error
            self.alone.append(answer.text)

    async def client(self, number: int, until: float) -> None:
        chance = random.Random(1000 + number)
        while time.monotonic() < until:
            kind = chance.randrange(len(self.bodies))
            leaves = chance.random() < self.options.leaving
            after = chance.randrange(1, 8) if leaves else None
            try:
                self.judge(
                    kind, await ask(self.address, "/v1/completions", self.bodies[kind], leave_after=after), after
                )
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                self.complain("connection", f"{type(error).__name__}: {error}")

    def judge(self, kind: int, answer: Answer, after: int | None) -> None:
        self.counts["asked"] += 1
        if answer.status != 200 or answer.error:
            self.complain("error", f"{answer.status} {answer.error[:200]}")
            return
        self.first += answer.times[:1]
        wanted = self.alone[kind]
        if answer.complete:
            self.counts["complete"] += 1
            if answer.text != wanted:
                self.complain("different", f"request {kind}: {answer.text[:60]!r}, alone {wanted[:60]!r}")
        elif after is None:
            self.complain("cut off", f"request {kind}")
        else:
            self.counts["left"] += 1
            if not wanted.startswith(answer.text):
                self.complain("different", f"request {kind}, left: {answer.text[:60]!r}")

    def complain(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if len(self.complaints) < 10:
            self.complaints.append(f"{kind}: {text}")


def memory(pid: int) -> float:
    """Resident MB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000


async def soak(address: str, pid: int, options: argparse.Namespace) -> int:
    run = Soak(address, options)
    await run.learn()
    before, begin = memory(pid), time.monotonic()
    until = begin + 60 * options.minutes
    await asyncio.gather(*(run.client(number, until) for number in range(options.clients)))
    seconds = time.monotonic() - begin
    await asyncio.sleep(1)
    held = {name: metric(address, f"fourfold_{name}") for name in ("open_answers", "engine_running", "engine_waiting",
                                                                   "engine_blocks_used")}  # fmt: skip
    bad = sum(run.counts[name] for name in ("error", "connection", "different", "cut off"))
    counts = run.counts
    print(f"{options.clients} clients, {seconds:.0f} s: {counts['asked']} answers, {counts['complete']} complete, "
          f"{counts['left']} left in the middle; {bad} wrong.")  # fmt: skip
    print(f"first token p50 {share(run.first, 0.5):.2f} s, p99 {share(run.first, 0.99):.2f} s; "
          f"server's memory {before:.0f} MB before, {memory(pid):.0f} MB after.")  # fmt: skip
    print(f"held at the end: {held}; health: {get(address, '/health')}")
    for complaint in run.complaints:
        print(f"  {complaint}")
    return 1 if bad or any(held.values()) else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--kinds", type=int, default=60)
    parser.add_argument("--leaving", type=float, default=0.2, help="Share of requests that are left in the middle.")
    parser.add_argument("--dtype", help="Numbers of the weights; without it as the file has them, packed.")
    options = parser.parse_args()
    words = ["-m", "fourfold", "serve", options.model, "--port", "0", "--batch-invariant", "--timeout", "600",
             "--max-running", str(options.clients), *(["--dtype", options.dtype] if options.dtype else [])]  # fmt: skip
    with started(words, r"Serving .* at (http://[^/]+)/v1") as (address, pid):
        raise SystemExit(asyncio.run(soak(address, pid, options)))


if __name__ == "__main__":
    main()
