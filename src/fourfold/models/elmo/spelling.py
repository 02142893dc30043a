"""Tokens by their bytes: the character CNN of ELMo's input.

Letters: B rows, T tokens, V vocabulary size, W bytes read of a token, C numbers a byte, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fourfold.models.elmo.config import Characters

PAD, START, END = 256, 257, 258
"""Beside the 256 bytes."""


def spell(tokens: Sequence[bytes], width: int) -> Tensor:
    """(V, W) the bytes of each token between START and END, cut or padded."""
    table = torch.full((len(tokens), width), PAD)
    for row, token in enumerate(tokens):
        codes = [START, *token[: width - 2], END][:width]
        table[row, : len(codes)] = torch.tensor(codes)
    return table


class CharacterEmbedding(nn.Module):
    """Filters of several widths over the bytes, the strongest answer of each, a highway, a projection
    (Kim et al. 2016, section 3; Jozefowicz et al. 2016, section 3.1)."""

    def __init__(self, options: Characters, vocabulary_size: int, size: int) -> None:
        super().__init__()
        self.bytes = nn.Embedding(PAD + 3, options.size)
        self.filters = nn.ModuleList(nn.Conv1d(options.size, number, seen) for seen, number in options.filters)
        wide = sum(number for _, number in options.filters)
        self.gate, self.change = nn.Linear(wide, wide), nn.Linear(wide, wide)
        self.projection = nn.Linear(wide, size)
        # As fp32, since files of weights hold no whole numbers; all below 2^8 are exact.
        self.register_buffer("spelling", torch.full((vocabulary_size, options.width), float(PAD)))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) to (B, T, D). Each different token of the batch is spelt once."""
        kinds, places = torch.unique(ids, return_inverse=True)
        letters = self.bytes(self.get_buffer("spelling")[kinds].long()).transpose(1, 2)  # (kinds, C, W)
        found = torch.cat([torch.relu(filter(letters)).amax(-1) for filter in self.filters], dim=-1)
        gate = torch.sigmoid(self.gate(found))
        found = gate * torch.relu(self.change(found)) + (1 - gate) * found
        vectors: Tensor = self.projection(found)[places]
        return vectors
