"""`ContextEncoder`: ELMo and its tokenizer; each token a vector in its place, from both directions.

Letters: N texts, T tokens of a text, L layers, D hidden size of a direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from fourfold.files import atomic_folder
from fourfold.inference.scoring import batches, ragged
from fourfold.models.elmo import ElmoLM, save_elmo
from fourfold.progress import task
from fourfold.tokenizers import Tokenizer


@final
class ContextEncoder:
    """Two LSTM language models read as features: `states` of every layer, for a scalar mix, or `embed` for a text."""

    def __init__(
        self, module: ElmoLM, tokenizer: Tokenizer, *, name: str = "elmo", device: torch.device | None = None
    ) -> None:
        self.module, self.tokenizer, self.name = module, tokenizer, name
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

    def save(self, folder: str | Path) -> None:
        """Write a folder that `fourfold.load` reads back."""
        with atomic_folder(Path(folder)) as part:
            save_elmo(self.module, part)
            self.tokenizer.save(part)


def _full(batches: Iterable[list[int]], rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The batches without the texts that have no tokens."""
    for batch in batches:
        if kept := [index for index in batch if rows[index]]:
            yield kept
