"""A `Sampling` as fields of OpenAI's API, and answers as `Generation`s and log-probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from fourfold.errors import UserError
from fourfold.inference.choices import BestOf, Constraint
from fourfold.inference.results import Generation, Sampling
from fourfold.inference.strategies import best_first

GUIDED = {"regex": "guided_regex", "choice": "guided_choice", "grammar": "guided_grammar"}
"""As vLLM names them; OpenAI's own API has the JSON schema alone."""


def fields(sampling: Sampling | None, *, chat: bool) -> dict[str, Any]:
    """What is asked for and nothing else; an endpoint refuses what it does not know."""
    sampling = sampling or Sampling()
    if sampling.strategy is not None and not isinstance(sampling.strategy, BestOf):
        raise UserError(
            "an endpoint searches by itself", got=type(sampling.strategy).__name__, advice="Leave the search out."
        )
    ranks = sampling.samples > sampling.n
    options = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "typical_p": sampling.typical_p,
        "repetition_penalty": None if sampling.repetition_penalty == 1 else sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logit_bias": {str(id): bias for id, bias in sampling.logit_bias.items()} or None,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "n": None if sampling.samples == 1 else sampling.samples,
    }
    if sampling.top_alternatives or ranks:
        count = sampling.top_alternatives
        options |= {"logprobs": True, "top_logprobs": count} if chat else {"logprobs": max(count, 1)}
    if sampling.constraint is not None:
        options |= _form(sampling.constraint)
    return {name: value for name, value in options.items() if value is not None}


def _form(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "json_schema":
        schema = {"name": "answer", "schema": json.loads(constraint.text), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {GUIDED[constraint.kind]: json.loads(constraint.text) if constraint.kind == "choice" else constraint.text}


def generation(answer: Any, text_of: Callable[[Any], str], sampling: Sampling | None) -> Generation:
    """All choices of an answer; KeyError, IndexError, TypeError or AttributeError if it is none."""
    usage = answer.get("usage") or {}
    found = [
        Generation(
            text=text_of(choice),
            log_probs=_log_probs(choice.get("logprobs")),
            finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
            prompt_tokens=usage.get("prompt_tokens") or 0,
            answer_tokens=usage.get("completion_tokens") or 0,
            batch_invariant=False,
        )
        for choice in answer["choices"]
    ]
    if sampling is not None and sampling.samples > sampling.n:
        if not all(one.log_probs for one in found):
            raise UserError("the endpoint gives no log-probabilities, so the best answer cannot be told")
        found = best_first(found, sampling.n)
    return replace(found[0], others=found[1:])


def _log_probs(told: Any) -> list[float]:
    """Of the tokens written: a chat tells them one by one, a completion in a list."""
    if not told:
        return []
    if told.get("content") is not None:
        return [float(token["logprob"]) for token in told["content"]]
    return [float(log_prob) for log_prob in told.get("token_logprobs") or []]


class Echo(NamedTuple):
    """A text as an endpoint read it."""

    tokens: list[str]
    log_probs: list[float | None]
    """None: the token has nothing before it."""
    greedy: list[bool]
    starts: list[int]
    """The character each token begins at."""


def echoes(answer: Any, count: int) -> list[Echo] | None:
    """The log-probabilities of so many texts sent with `echo`; None where the endpoint tells none."""
    try:
        choices = sorted(answer["choices"], key=lambda choice: choice["index"]) if count > 1 else answer["choices"][:1]
        found = [_echo(choice["logprobs"]) for choice in choices]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return None
    whole = [one for one in found if one is not None]
    return whole if len(whole) == len(found) == count else None


def _echo(told: Any) -> Echo | None:
    tokens, log_probs = list(told["tokens"]), list(told["token_logprobs"])
    best = [max(row.values()) if row else None for row in told.get("top_logprobs") or [None] * len(tokens)]
    if not tokens or not len(tokens) == len(log_probs) == len(best) or None in log_probs[1:]:
        return None
    starts = list(told.get("text_offset") or [])
    if len(starts) != len(tokens):
        starts = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    greedy = [p is not None and top is not None and p >= top - 1e-6 for p, top in zip(log_probs, best, strict=True)]
    return Echo(tokens, log_probs, greedy, starts)
