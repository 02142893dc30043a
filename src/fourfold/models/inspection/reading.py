"""What a model does with a text: where each head looks, and what each layer would say next.

The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") sends the stream after every layer through the
final norm and the head, as if the layers above were not there.
Letters: L layers, H heads, T tokens, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.models.protocols import Step, Trace
from fourfold.models.transformer import EncoderDecoder, TransformerLM


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What the stream says after the embedding and after each layer: L + 1 rows."""

    ids: Tensor
    """(L + 1, T) the most probable token."""
    probabilities: Tensor
    """(L + 1, T) of it."""
    ranks: Tensor
    """(L + 1, T) place of the token that comes next (or stands there, if the model sees both sides); -1: none comes."""
    entropies: Tensor
    """(L + 1, T) of the distribution, in nats."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One text in one model."""

    ids: list[int]
    attention: Tensor
    """(L, H, T, T) weights; rows are the tokens that look and sum to one."""
    lens: Lens | None
    """None without a head, and for the encoder of an encoder-decoder."""


@torch.no_grad()
def read(module: nn.Module, ids: list[int]) -> Reading:
    """Run the ids through a transformer and keep what it looks at and says; of an encoder-decoder, its encoder."""
    if not isinstance(module, TransformerLM | EncoderDecoder):
        raise UserError(
            "only a transformer has attention to draw",
            expected="a model whose `fourfold inspect` says TransformerLM or EncoderDecoder",
            got=type(module).__name__,
        )
    if not 0 < len(ids) <= module.context:
        raise UserError("the prompt does not fit", expected=f"1 to {module.context} tokens", got=len(ids))
    hidden: list[Tensor] = []
    attention: list[Tensor] = []
    rows = torch.tensor([ids], device=next(module.parameters()).device)
    prefix = torch.ones_like(rows, dtype=torch.bool) if _reads_prefix(module) else None
    step = Step(ids=rows, prefix=prefix, trace=Trace(hidden=hidden, attention=attention))
    module.eval()
    if isinstance(module, EncoderDecoder):
        module.encoder(step)
        return Reading(ids=ids, attention=_stacked(attention), lens=None)
    last = module.hidden(step)
    lens = None if module.head is None else logit_lens(module, [*hidden[:-1], last], ids)
    return Reading(ids=ids, attention=_stacked(attention), lens=lens)


def logit_lens(module: TransformerLM, stream: list[Tensor], ids: list[int]) -> Lens:
    """The lens on the stream (1, T, D) after the embedding and each layer; the last of them is normed already."""
    norm = module.stack.norm
    found = []
    for depth, hidden in enumerate(stream):
        normed = hidden if norm is None or depth == len(stream) - 1 else norm(hidden)
        found.append(_say(module.logits(normed)[0].float(), _wanted(module, ids)))
    ids_, probabilities, ranks, entropies = (torch.stack(part) for part in zip(*found, strict=True))
    return Lens(ids=ids_, probabilities=probabilities, ranks=ranks, entropies=entropies)


def _say(logits: Tensor, wanted: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top token, its probability, the rank of the wanted token and the entropy at each of T places of (T, V) logits."""
    log_probabilities = logits.log_softmax(-1)
    probabilities = log_probabilities.exp()
    top = probabilities.max(dim=-1)
    targets = torch.tensor(wanted, device=logits.device)
    chosen = logits.gather(-1, targets.clamp(min=0)[:, None])
    ranks = torch.where(targets < 0, -1, (logits > chosen).sum(-1))
    entropies = -(probabilities * log_probabilities).nan_to_num(0.0).sum(-1)
    return top.indices.cpu(), top.values.cpu(), ranks.cpu(), entropies.cpu()


def _wanted(module: TransformerLM, ids: list[int]) -> list[int]:
    return list(ids) if module.config.mask == "bidirectional" else [*ids[1:], -1]


def _reads_prefix(module: TransformerLM | EncoderDecoder) -> bool:
    return isinstance(module, TransformerLM) and module.config.mask == "prefix"


def _stacked(attention: list[Tensor]) -> Tensor:
    """(L, H, T, T) on the processor, in fp32."""
    return torch.stack([weights[0].float().cpu() for weights in attention])
