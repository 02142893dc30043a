"""`ContextEncoder`: ELMo and its tokenizer; each token a vector in its place, from both directions.

Letters: N texts, T tokens of a text, L layers, D hidden size of a direction, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import atomic_folder
from fourfold.inference.scoring import batches, ragged
from fourfold.models import Step
from fourfold.models.elmo import ElmoFeatures, ElmoLM, FeatureClassifier, save_elmo
from fourfold.progress import task
from fourfold.tokenizers import Tokenizer


@final
class ContextEncoder:
    """Two LSTM language models read as features: `states` of every layer, for a scalar mix, or `embed` for a text;
    and where a task was learnt on them, `classify`."""

    def __init__(
        self,
        module: ElmoLM | FeatureClassifier,
        tokenizer: Tokenizer,
        *,
        name: str = "elmo",
        device: torch.device | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.classifier = module if isinstance(module, FeatureClassifier) else None
        self.module = _inside(module)
        self.tokenizer, self.name, self.labels = tokenizer, name, tuple(labels)
        self.device = device or torch.device("cpu")

    @torch.inference_mode()
    def states(self, texts: Sequence[str]) -> list[Tensor]:
        """(L + 1, T, 2 D) fp32 a text: the embeddings, twice, and each layer's states of both directions."""
        rows = self.tokenizer.encode_batch_ordinary(texts)
        config = self.module.config
        found = {i: torch.zeros(config.layers + 1, 0, 2 * config.hidden_size) for i, row in enumerate(rows) if not row}
        with task("read both ways", len(rows), "texts") as work:
            for batch in _full(batches([len(row) for row in rows]), rows):
                ids, lengths = ragged([rows[index] for index in batch], self.device)
                mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
                layers = torch.stack(self.module.encode(ids, mask), dim=1).float().cpu()
                found |= {index: layers[row, :, : len(rows[index])] for row, index in enumerate(batch)}
                work.advance(len(batch))
        return [found[index] for index in range(len(rows))]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """(N, 2 D) the mean of the last layer over a text's tokens; zeros for a text without any."""
        means = [layers[-1].sum(0) / max(layers.shape[1], 1) for layers in self.states(texts)]
        return torch.stack(means) if means else torch.zeros(0, 2 * self.module.config.hidden_size)

    @torch.inference_mode()
    def classify(self, texts: Sequence[str]) -> list[Tensor]:
        """(C,) probabilities of a text's classes, or (T, C) of its tokens'."""
        if self.classifier is None:
            raise UserError("this ELMo has learnt no classes", where=self.name, advice="Tune it by [finetune.…].")
        start, end = self.tokenizer.document_start_id, self.tokenizer.eos_id
        assert start is not None  # it was trained with one
        marks = (start, start if end is None else end)
        found = []
        for row in self.tokenizer.encode_batch_ordinary(texts):
            ids, lengths = ragged([[marks[0], *row, marks[1]]], self.device)
            hidden = self.classifier.hidden(Step(ids=ids, lengths=lengths))
            scores = self.classifier.classify(hidden, lengths)[0].float().softmax(-1).cpu()
            found.append(scores[1:-1] if self.classifier.of_tokens else scores)
        return found

    def save(self, folder: str | Path) -> None:
        """Write a folder that `fourfold.load` reads back."""
        with atomic_folder(Path(folder)) as part:
            save_elmo(self.classifier or self.module, part, self.labels)
            self.tokenizer.save(part)


def _inside(module: ElmoLM | FeatureClassifier) -> ElmoLM:
    if isinstance(module, ElmoLM):
        return module
    assert isinstance(module.features, ElmoFeatures)
    return module.features.model


def _full(batches: Iterable[list[int]], rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The batches without the texts that have no tokens."""
    for batch in batches:
        if kept := [index for index in batch if rows[index]]:
            yield kept
