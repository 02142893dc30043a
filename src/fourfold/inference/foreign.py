"""A model of `transformers` as a `CausalLM`: whatever family it is of, everything here works with it.

For families that Fourfold does not know, and for checking ours. It is slower: no pages, no fused step.

Letters: B rows, T tokens of a step, S columns of the cache, V vocabulary size.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.models import State, Step

FOREIGN = "transformers:"
"""References of this kind begin so: transformers:FOLDER, or transformers:hf:org/name."""


@final
class ForeignState:
    """The cache of transformers, whose rows are as long as the longest: a mask says which columns are a row's own."""

    def __init__(self, cache: Any, mask: Tensor) -> None:
        self.cache = cache
        self.mask = mask
        """(B, S) True on tokens; a column that is not a row's is padding or was taken back."""

    @property
    def lengths(self) -> Tensor:
        return self.mask.sum(1)

    def fork(self, rows: Tensor) -> Self:
        cache = copy.deepcopy(self.cache)
        if self.mask.shape[1]:
            cache.batch_select_indices(rows)
        return type(self)(cache, self.mask[rows].clone())

    def truncate(self, lengths: Tensor) -> None:
        self.mask = self.mask & (self.mask.cumsum(1) <= lengths.to(self.mask.device)[:, None])

    def free(self) -> None:
        self.cache, self.mask = None, self.mask[:0]


@final
class ForeignLM(nn.Module):
    """Implements `CausalLM`. Its hidden states are the logits: some families change them after the last product."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.config: Any = inner.config
        taken = inspect.signature(inner.forward).parameters
        self._takes_positions = "position_ids" in taken
        self._cache = "cache" if "cache" in taken else "past_key_values"  # its name before transformers 5.2x

    @property
    def vocabulary_size(self) -> int:
        return int(self.config.get_text_config().vocab_size)

    @property
    def context(self) -> int | None:
        length = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        return None if length is None else int(length)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.new_state(len(ids), ids.shape[1]) if state is None else state
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        if step.adapters is not None or step.documents is not None or step.prefix is not None or step.trace is not None:
            raise UserError(
                "a model of transformers takes plain texts only", advice="Load it with Fourfold's own code."
            )
        rows, length = step.ids.shape
        own = self.new_state(rows, length) if state is None else state
        assert isinstance(own, ForeignState)
        new = torch.ones(rows, length, dtype=torch.bool, device=step.ids.device)
        if step.lengths is not None:
            new = torch.arange(length, device=step.ids.device) < step.lengths[:, None]
        mask = torch.cat((own.mask, new), 1)
        positions = step.positions
        if positions is None:
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -length:]
        extra = {"position_ids": positions} if self._takes_positions else {}
        extra[self._cache] = own.cache  # filled in place
        result = self.inner(input_ids=step.ids, attention_mask=mask.long(), use_cache=True, **extra)
        own.mask = mask
        logits: Tensor = result.logits
        return logits

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def new_state(self, rows: int, capacity: int) -> ForeignState:
        from transformers import DynamicCache

        device = next(self.parameters()).device
        return ForeignState(DynamicCache(), torch.zeros(rows, 0, dtype=torch.bool, device=device))


def load_foreign(folder: Path, device: torch.device, dtype: torch.dtype) -> ForeignLM:
    """A folder's model by transformers: safetensors alone, and no code of the folder is run."""
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        raise UserError(
            "models of transformers need that package", advice="Run: pip install 'fourfold[transformers]'"
        ) from None
    try:
        inner = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError("transformers cannot load this folder", where=folder, got=reason[:300]) from None
    return ForeignLM(inner).to(device).eval()
