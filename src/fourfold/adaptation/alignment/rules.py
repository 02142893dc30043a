"""Preferences that a program can check, and pairs made for them from the model's own answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fourfold.adaptation.alignment.batches import Preference
from fourfold.adaptation.instruction import answer_prompts
from fourfold.errors import UserError, unknown_name
from fourfold.inference import ChatModel, Sampling

SHORT = 30

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’.,-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？]")


@dataclass(frozen=True, kw_only=True)
class PreferenceRule:
    """A wish about answers: its check, and how an answer that breaks it is put right (None: it cannot be)."""

    name: str
    wish: str
    check: Callable[[str], bool]
    improve: Callable[[str], str | None]


def count_words(text: str) -> int:
    """Words between spaces and punctuation; each Han character counts as one."""
    return len(_WORD.findall(text))


def prefers_short(text: str, max_words: int = SHORT) -> bool:
    """True for a finished answer of at most `max_words` words."""
    text = text.strip()
    return bool(_SENTENCE_END.search(text[-1:])) and count_words(text) <= max_words


def first_sentences(text: str, max_words: int = SHORT) -> str | None:
    """As many leading sentences as fit; None when the first is already too long."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    fitting = [text[:end].strip() for end in ends if prefers_short(text[:end], max_words)]
    return fitting[-1] if fitting else None


RULES = {
    "short": PreferenceRule(name="short", wish=f"at most {SHORT} words", check=prefers_short, improve=first_sentences)
}


def preference_rule(name: str) -> PreferenceRule:
    """The rule of that name."""
    if name not in RULES:
        raise unknown_name("preference rule", name, RULES)
    return RULES[name]


def preference_pairs(
    model: ChatModel, prompts: Sequence[str], rule: PreferenceRule, sampling: Sampling | None = None
) -> list[Preference]:
    """Ask the model and set its own answers that break the rule against their improved form.

    Both sides share every word up to where the rule cuts in, so that the only thing learned
    is the wish itself. Answers that keep the rule already, or cannot be improved, give no pair.
    """
    answers = answer_prompts(model, prompts, sampling or Sampling(max_tokens=128, temperature=0.0))
    pairs: list[Preference] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        rejected = answer.text.strip()
        chosen = None if rule.check(rejected) else rule.improve(rejected)
        if chosen:
            pairs.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    if not pairs:
        raise UserError(f"no answer of {model.name} breaks the rule '{rule.name}', so there is nothing to prefer")
    return pairs
