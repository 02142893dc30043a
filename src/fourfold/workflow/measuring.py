"""What a model in training is measured by: bits per byte of texts, or its own objective on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.files import read_text

if TYPE_CHECKING:
    from fourfold.pretraining.objectives import ObjectiveBatches
    from fourfold.tokenizers import Tokenizer
    from fourfold.training import Objective, Precision

HELD_OUT_ROWS = 128
"""Rows of the validation split on which an objective is measured."""


def held_out_samples(corpus: Path, limit: int | None) -> dict[str, str]:
    """The corpus's test samples by group, each cut to `limit` bytes."""
    samples = {}
    for path in sorted((corpus / "samples").glob("*.txt")):
        if not path.stem.startswith("train_"):
            data = read_text(path).encode()
            samples[path.stem] = data[:limit].decode(errors="ignore")
    return samples


def bits_per_byte(module: Any, tokenizer: Tokenizer, label: str, samples: dict[str, str]) -> dict[str, float]:
    """Bits per byte of each sample, by the definition every comparison uses."""
    import torch

    from fourfold.inference import LanguageModel

    module.eval()
    model = LanguageModel(module, tokenizer, name=label)
    with torch.compiler.set_stance("force_eager"):  # texts of many lengths: nothing to compile for
        return {group: model.score([text])[0].bits_per_byte for group, text in samples.items()}


def held_out_loss(module: Any, objective: Objective, batches: ObjectiveBatches) -> dict[str, float]:
    """The mean of every term over the first rows of the held-out text, the same rows and noise every time.

    In nats a label. A loss under masks or spans is no likelihood of the text: it may be compared between
    models of one objective and one tokenizer, and with nothing else.
    """
    import torch

    module.eval()
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    steps = -(-min(HELD_OUT_ROWS, batches.rows) // batches.batch_size)
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        for batch in (batch for step in range(steps) for batch in batches.at(step)):
            for name, value in objective.counts(batch).items():
                counts[name] = counts.get(name, 0.0) + value
            for name, term in objective(module, batch).items():
                sums[name] = sums.get(name, 0.0) + float(term)
    return {name: value / (counts[name] or 1.0) for name, value in sums.items()}


def noise_tokens(module: Any, objective: Objective, batches: Sequence[Any], precision: Precision) -> dict[str, float]:
    """The gradient noise scale in tokens; empty where noise or signal cannot be told apart from so few batches."""
    from fourfold.training import gradient_noise_scale

    module.train()
    found = gradient_noise_scale(module, objective, batches, precision=precision)
    return {} if found is None else {"gradient_noise_scale": found}


def first_words(module: Any, tokenizer: Tokenizer, seed: int) -> str:
    """A few words the model makes up from the start of a document."""
    from fourfold.inference import LanguageModel, Sampling

    model = LanguageModel(module, tokenizer, stop_ids=frozenset())
    return model.generate([""], Sampling(max_tokens=40, temperature=0.8, seed=seed))[0].text.strip()
