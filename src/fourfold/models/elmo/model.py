"""ELMo: a language model from the left and one from the right, read together (Peters et al. 2018).

        token t     token t+1
     ┌────────────┬────────────┐
     │ forward  →→→→→→→→→→→→→→ │  layer 2      hidden state j of token t:
     │ backward ←←←←←←←←←←←←←← │               [forward j ; backward j], (2 D);
     │ forward  →→→→→→→→→→→→→→ │  layer 1      state 0: [embedding ; embedding]
     │ backward ←←←←←←←←←←←←←← │
     └─────── embedding ───────┘               one embedding, one softmax for both

Letters: B rows, T tokens, D hidden size, V vocabulary size, L layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.elmo.config import ElmoConfig
from fourfold.models.elmo.spelling import CharacterEmbedding
from fourfold.models.recurrent import mixed_lstm, products_in_bf16


class Directions(NamedTuple):
    """(B, T, D) states of the last layer: what came before each token with it, and what comes after with it."""

    forward: Tensor
    backward: Tensor


@final
class ElmoLM(nn.Module):
    """Both directions of a language model, and its states as an `Encoder`.

    Departure: the layers have no projections and cell clipping, which their size of 4,096 called for.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.embedding: nn.Embedding | CharacterEmbedding
        if config.characters is None:
            self.embedding = nn.Embedding(config.vocabulary_size, size)
            self.head = None
        else:
            self.embedding = CharacterEmbedding(config.characters, config.vocabulary_size, size)
            self.head = nn.Linear(size, config.vocabulary_size)
        self.forward_layers = nn.ModuleList(nn.LSTM(size, size, batch_first=True) for _ in range(config.layers))
        self.backward_layers = nn.ModuleList(nn.LSTM(size, size, batch_first=True) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    def encode(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """(B, T) ids and (B, T) mask of real tokens, on the left, to L + 1 tensors (B, T, 2 D)."""
        return self._states(ids, mask.long().sum(dim=1))

    def directions(self, ids: Tensor, lengths: Tensor | None = None) -> Directions:
        """The last layer of each direction, for the language models' losses."""
        if lengths is None:
            lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
        forward, backward = self._states(ids, lengths)[-1].chunk(2, dim=-1)
        return Directions(self.dropout(forward), self.dropout(backward))

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) states of one direction to (..., V)."""
        if self.head is not None:
            found: Tensor = self.head(hidden)
            return found
        assert isinstance(self.embedding, nn.Embedding)
        return F.linear(hidden, self.embedding.weight)

    def spell(self, spelling: Tensor) -> None:
        """Tell a model of characters how its tokens are spelt: (V, W) of `spell`."""
        assert isinstance(self.embedding, CharacterEmbedding)
        self.embedding.get_buffer("spelling").copy_(spelling)

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in ±1/sqrt(D); embeddings normal with deviation 1/sqrt(D); forget gates open."""
        size = self.config.hidden_size
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(size), 1 / math.sqrt(size), generator=generator)
        if isinstance(self.embedding, nn.Embedding):
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(size), generator=generator)
        for name, parameter in self.named_parameters():
            if "layers" in name and name.endswith("bias_ih_l0"):
                nn.init.ones_(parameter.data[size : 2 * size])

    def _states(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Both directions run from the left: the backward one over each row turned round within its length."""
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        turned = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)
        x = self.dropout(self.embedding(ids))
        forward, backward = x, _turn(x, turned)
        states = [torch.cat((x, x), dim=-1)]
        for number, (right, left) in enumerate(zip(self.forward_layers, self.backward_layers, strict=True)):
            before = forward, backward
            forward, backward = _read(right, self.dropout(forward)), _read(left, self.dropout(backward))
            if number:  # a connection around every layer but the first
                forward, backward = forward + before[0], backward + before[1]
            states.append(torch.cat((forward, _turn(backward, turned)), dim=-1))
        return tuple(states)


def _read(layer: nn.Module, x: Tensor) -> Tensor:
    """(B, T, D) through one LSTM, in training with bf16 by our own way."""
    assert isinstance(layer, nn.LSTM)
    found: Tensor = (mixed_lstm(layer, x, None) if torch.is_grad_enabled() and products_in_bf16(x) else layer(x))[0]
    return found


def _turn(x: Tensor, places: Tensor) -> Tensor:
    """(B, T, D) with token t taken from place (B, T)[t]."""
    return x.gather(1, places[..., None].expand_as(x))
