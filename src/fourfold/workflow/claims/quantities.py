"""What a claim can compare: names of the numbers a measurement gives, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number a trained model."""

    label: str
    """What axes and tables call it."""
    higher_is_better: bool = False
    binary: bool = False
    """0 or 1 a model, so that shares are compared by tests for proportions."""
    digits: int = 3


QUANTITIES = {
    "loss": Quantity(label="held-out loss, nats a token"),
    "failed": Quantity(label="share of failed runs", binary=True, digits=2),
    "spikes": Quantity(label="gradient spikes in 100 steps", digits=1),
    "train_loss": Quantity(label="training loss at the end, nats a token"),
    "loss_1x": Quantity(label="loss at the trained length, nats a token"),
    "loss_2x": Quantity(label="loss at twice the length, nats a token"),
    "loss_4x": Quantity(label="loss at four times the length, nats a token"),
    "second_half": Quantity(label="loss of the second half, nats a token"),
    "choice": Quantity(label="right continuation chosen of four", higher_is_better=True, digits=2),
    "shown_once": Quantity(label="loss of a passage shown in the prompt, nats a token"),
    "first_text": Quantity(label="held-out text of the first domain, bits per byte", digits=2),
    "second_text": Quantity(label="held-out text of the second domain, bits per byte", digits=2),
    "seen": Quantity(label="share of held-out n-grams that were seen", higher_is_better=True, digits=2),
    "filled": Quantity(label="possible n-grams that were seen, log10 of their share", higher_is_better=True, digits=1),
    "impossible": Quantity(label="share of held-out tokens with probability zero", digits=2),
    "right": Quantity(label="share of questions answered rightly", higher_is_better=True, digits=2),
}
CURVES = {"loss_by_position": Quantity(label="loss, nats a token")}
GIVES = {
    "held_out": ("loss",),
    "stability": ("failed", "spikes", "train_loss"),
    "lengths": ("loss_1x", "loss_2x", "loss_4x", "loss_by_position"),
    "continuation": ("second_half", "choice", "shown_once"),
    "texts": ("first_text", "second_text"),
    "coverage": ("seen", "filled", "impossible"),
    "choices": ("right",),
}
"""Measurement -> the quantities it gives."""


def quantity(name: str) -> Quantity:
    """The quantity of that name; UserError for an unknown one."""
    known = {**QUANTITIES, **CURVES}
    if name not in known:
        raise unknown_name("quantity", name, known)
    return known[name]
