"""Kill a run at random moments, run it again, and compare its results with an undisturbed run.

    python benchmarks/kill_and_resume.py [--recipe recipes/resume.toml] [--kills 10] [--seed 1]

Everything a run leaves is compared, except times, memory and the report: numbers of every JSON
and JSONL file, and the bytes of everything else (weights, tokenizer, shards, samples).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TIMES = frozenset(
    {
        "seconds",
        "seconds_trained",
        "tokens_per_second",
        "peak_memory_bytes",
        "outputs",
        "key",
        "speed",
        "time",
        "created",
    }
)
"""Keys of JSON values that may differ between two equal runs."""
LEFT_OUT = frozenset({"manifest.json", "report.html", "report.zh.html", ".lock"})
TOLD_TIMES = "tensorboard"
"""The folder of event files, which hold the time of every event."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="recipes/resume.toml")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the runs go; without it a temporary folder, removed at the end")
    options = parser.parse_args()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="kill-and-resume-"))
    try:
        return compare_runs(options.recipe, options.kills, random.Random(options.seed), folder)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def compare_runs(recipe: str, kills: int, draw: random.Random, folder: Path) -> int:
    began = time.monotonic()
    run(recipe, folder / "undisturbed")
    whole = time.monotonic() - began
    expected = contents(folder / "undisturbed")
    print(f"undisturbed: {whole:.1f} s, {len(expected)} files compared", flush=True)
    print("| kill | at (s) | while in | resumed in (s) | equal |", "|---|---|---|---|---|", sep="\n", flush=True)
    unequal = 0
    for number in range(1, kills + 1):
        moment = draw.uniform(0.02, 0.98) * whole
        runs = folder / f"killed-{number}"
        stage = run(recipe, runs, kill_after=moment)
        began = time.monotonic()
        run(recipe, runs)
        seconds = time.monotonic() - began
        differing = differences(expected, contents(runs))
        unequal += bool(differing)
        verdict = "yes" if not differing else "no: " + ", ".join(differing[:5])
        print(f"| {number} | {moment:.1f} | {stage} | {seconds:.1f} | {verdict} |", flush=True)
        shutil.rmtree(runs)
    print(f"{kills - unequal} of {kills} killed runs ended like the undisturbed one")
    return 1 if unequal else 0


def run(recipe: str, runs: Path, kill_after: float | None = None) -> str:
    """Run a recipe in a process of its own, SIGKILLed after some seconds; returns the stage it was in."""
    code = (
        "import sys; from pathlib import Path; from fourfold.workflow import parse_recipe, run_recipe; "
        "run_recipe(parse_recipe(Path(sys.argv[1])), sys.argv[2])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, recipe, str(runs)])
    try:
        status = process.wait(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return current_stage(runs)
    if status != 0:
        raise SystemExit(f"the run ended with status {status}")
    return "nothing, it had ended"


def current_stage(runs: Path) -> str:
    unfinished = [path.parent.name for path in runs.glob("*/*/work.json")]
    return ", ".join(unfinished) or "between stages"


def contents(runs: Path) -> dict[str, str]:
    """A digest of every file of the only run in this folder, by path; times are left out."""
    (folder,) = (path for path in runs.iterdir() if path.is_dir())
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        left_out = path.name in LEFT_OUT or path.parent.name == TOLD_TIMES or name.startswith("figures/")
        if path.is_file() and not left_out and name != "metrics.jsonl":
            found[name] = digest(path)
    return found


def digest(path: Path) -> str:
    if path.suffix == ".json":
        value: Any = json.loads(path.read_text("utf-8"))
    elif path.suffix == ".jsonl":
        value = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    else:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(timeless(value), sort_keys=True).encode()).hexdigest()


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def differences(expected: dict[str, str], got: dict[str, str]) -> list[str]:
    return [name for name in sorted(expected.keys() | got.keys()) if expected.get(name) != got.get(name)]


if __name__ == "__main__":
    sys.exit(main())
