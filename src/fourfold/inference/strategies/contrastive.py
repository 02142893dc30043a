"""Contrastive search: the probable token whose meaning is least like what was said.

Letters: K candidates, S tokens so far, D hidden size.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fourfold.errors import UserError
from fourfold.inference.choices import Contrastive
from fourfold.inference.engine import Request, Token
from fourfold.inference.sampling import largest, log_total
from fourfold.inference.strategies.reader import Reader
from fourfold.models import CausalLM


def contrast(probabilities: Tensor, hidden: Tensor, context: Tensor, alpha: float) -> Tensor:
    """(K,) (1 - alpha) p(v) - alpha max cos(h_v, h_j): eq. 5 of Su et al. 2022.

    `hidden` (K, D) are the states after each candidate, `context` (S, D) those of all tokens before it.
    """
    likeness = normalize(hidden, dim=-1) @ normalize(context, dim=-1).T  # (K, S)
    return (1 - alpha) * probabilities - alpha * likeness.amax(-1)


def contrastive_search(
    model: CausalLM, request: Request, asked: Contrastive, device: torch.device
) -> Generator[Sequence[Token]]:
    """The tokens of an answer, one a call, each chosen among the k most probable by `contrast`; draws nothing."""
    reader = Reader(model, request, device, asked.k)
    seen = reader.read([request.ids])
    if not seen.hidden.is_floating_point() or seen.hidden.shape[-1] in (1, model.vocabulary_size):
        raise UserError("contrastive search needs a model with hidden vectors", advice="An n-gram model has none.")
    context, logits = seen.hidden[0].float(), seen.logits[:, -1]
    for made in range(1, reader.room + 1):
        values, ids = largest(logits, asked.k)
        log_probs = (values - log_total(logits))[0]
        reader.fork([0] * ids.shape[1])
        seen = reader.read(ids.T.tolist())
        scores = contrast(log_probs.exp(), seen.hidden[:, -1].float(), context, asked.alpha)
        chosen = int(scores.argmax())
        id, log_prob = int(ids[0, chosen]), float(log_probs[chosen])
        if id in request.stop_ids:
            yield [Token(None, log_prob, "stop")]
            break
        yield [Token(id, log_prob), *([Token(None, log_prob, "length")] if made == reader.room else ())]
        reader.fork([chosen])
        context = torch.cat((context, seen.hidden[chosen, -1:].float()))
        logits = seen.logits[chosen : chosen + 1, -1]
    reader.free()
