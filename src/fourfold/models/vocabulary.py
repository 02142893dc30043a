"""A model with more tokens: every table gets rows, all else stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fourfold.models.registry import Config, Network, make_module
from fourfold.models.transformer import EncoderDecoderConfig

TABLES = ("embedding.weight", "head.projection.weight", "head.bias", "head.weight")
"""Parameters with a row a token, by the ends of their names."""


def widen_vocabulary(module: Network, pieces: Mapping[int, Sequence[int]]) -> Network:
    """A copy in fp32 that knows the tokens of `pieces` too; other rules of the model are unchanged.

    A new token's row, of the embedding and of an output matrix of its own, is the mean of the rows of the old tokens it
    is made of (Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models", for the mean; here over
    the pieces alone). Without pieces it is a copy.
    """
    size = max([*pieces, module.config.vocabulary_size - 1]) + 1
    widened = make_module(_resized(module.config, size))
    tables = module.state_dict()
    with torch.no_grad():
        for name, target in widened.state_dict().items():
            source = tables[name].to(target.dtype)
            target.copy_(_with_rows(source, size, pieces) if name.endswith(TABLES) else source)
    return widened


def _with_rows(table: Tensor, size: int, pieces: Mapping[int, Sequence[int]]) -> Tensor:
    rows = torch.cat([table, table.new_zeros(size - len(table), *table.shape[1:])])
    for id, parts in pieces.items():
        rows[id] = table[list(parts)].mean(0)
    return rows


def _resized(config: Config, size: int) -> Config:
    if isinstance(config, EncoderDecoderConfig):
        encoder, decoder = (replace(side, vocabulary_size=size) for side in (config.encoder, config.decoder))
        return replace(config, encoder=encoder, decoder=decoder)
    return replace(config, vocabulary_size=size)
