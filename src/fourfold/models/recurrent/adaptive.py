"""A softmax over a large vocabulary that mostly computes the scores of its frequent words.

Letters: N positions, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from torch import Tensor, nn


def default_cutoffs(vocabulary_size: int) -> tuple[int, ...]:
    """Where the clusters begin: a tenth of the words make most of a text, half of them nearly all."""
    return (vocabulary_size // 10, vocabulary_size // 2)


class AdaptiveHead(nn.Module):
    """Adaptive softmax (Grave et al. 2017): the words up to the first cutoff and one score a cluster of rarer words;
    the words of a cluster only where they are wanted, from a quarter of the numbers each.

    Ids must fall in frequency, as those of byte-pair tokenizers roughly do: their merges are found in that order.
    """

    def __init__(self, size: int, vocabulary_size: int, cutoffs: tuple[int, ...]) -> None:
        super().__init__()
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(size, vocabulary_size, list(cutoffs), div_value=4.0)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., V) logarithms of probabilities, which are logits of themselves."""
        found: Tensor = self.softmax.log_prob(hidden.flatten(0, -2))
        return found.view(*hidden.shape[:-1], -1)

    def label_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Sum of -ln P over (N, D) states and (N,) labels, without the scores of clusters no label is in."""
        log_probs: Tensor = self.softmax(hidden, labels).output
        return -log_probs.float().sum()
