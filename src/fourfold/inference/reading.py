"""Say it when a model can hardly read what it is given, or its scores are not what they look like."""

from __future__ import annotations

from collections.abc import Iterable

from fourfold.inference.language_model import LanguageModel
from fourfold.models.ngram import NGramLM
from fourfold.progress import say
from fourfold.tokenizers import hard_to_read


def say_if_hard_to_read(model: object, label: str, texts: Iterable[str], what: str = "this text") -> None:
    """One remark on scripts the model's vocabulary was not made for; other models than our own are not judged."""
    if isinstance(model, LanguageModel) and (reason := hard_to_read(model.tokenizer.encode, texts)):
        say(f"{label} can hardly read {what} ({reason}).")


def say_if_unnormalised(model: object, label: str) -> None:
    """One remark where scores do not sum to one, so that perplexities made of them compare with nothing."""
    module = getattr(model, "module", None)
    if isinstance(module, NGramLM) and not module.config.normalised:
        say(f"{label}: scores of {module.config.smoothing} are no probabilities; compare its perplexity with no other.")
