"""Alignment: what people prefer, and objectives that follow it."""

from fourfold.adaptation.alignment.batches import (
    Preference,
    PreferenceBatch,
    PreferenceBatches,
    parse_preference,
    preference_batches,
    read_preferences,
)
from fourfold.adaptation.alignment.dpo import DPO, dpo_loss
from fourfold.adaptation.alignment.rules import (
    RULES,
    PreferenceRule,
    count_words,
    first_sentences,
    preference_pairs,
    preference_rule,
    prefers_short,
)

__all__ = [
    "DPO",
    "RULES",
    "Preference",
    "PreferenceBatch",
    "PreferenceBatches",
    "PreferenceRule",
    "count_words",
    "dpo_loss",
    "first_sentences",
    "parse_preference",
    "preference_batches",
    "preference_pairs",
    "preference_rule",
    "prefers_short",
    "read_preferences",
]
