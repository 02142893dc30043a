"""The hidden layer of a feed-forward language model, behind the interface of a recurrent cell.

Letters: B rows, T tokens, D hidden size, W tokens of the window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WindowCell(nn.Module):
    """tanh(d + H x) over the last W tokens' embeddings x, laid end to end (Bengio et al. 2003, equation 1).

    Their optional direct connections from x to the output are left out; more layers stand on the first. What is
    carried are the embeddings of the W - 1 tokens before, zeros where a text begins.
    """

    def __init__(self, size: int, layers: int, window: int, dropout: float) -> None:
        super().__init__()
        self.window = window
        self.first = nn.Linear(window * size, size)
        self.more = nn.ModuleList(nn.Linear(size, size) for _ in range(layers - 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None, memory: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, T, D) inputs after a (W - 1, B, D) memory to (B, T, D) and the memory after each row's last token."""
        rows, length, size = x.shape
        before = x.new_zeros(rows, self.window - 1, size) if memory is None else memory.transpose(0, 1).to(x)
        joined = torch.cat((before, x), dim=1)
        hidden = torch.tanh(self.first(joined.unfold(1, self.window, 1).transpose(2, 3).flatten(2)))
        for layer in self.more:
            hidden = torch.tanh(layer(self.dropout(hidden)))
        ends = torch.full((rows,), length, device=x.device) if lengths is None else lengths.to(x.device)
        places = ends[:, None] + torch.arange(self.window - 1, device=x.device)  # (B, W - 1)
        kept = joined.gather(1, places[..., None].expand(-1, -1, size))
        return hidden, (kept.transpose(0, 1),)
