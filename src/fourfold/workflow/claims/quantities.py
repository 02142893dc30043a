"""What a claim can compare: names of the numbers a measurement gives, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number a trained model."""

    label: str
    """What axes and tables call it."""
    zh: str
    """The same in Chinese, for the index."""
    higher_is_better: bool = False
    binary: bool = False
    """0 or 1 a model, so that shares are compared by tests for proportions."""
    digits: int = 3


QUANTITIES = {
    "loss": Quantity(label="held-out loss, nats a token", zh="留出集损失（奈特/词元）"),
    "failed": Quantity(label="share of failed runs", zh="失败运行的比例", binary=True, digits=2),
    "spikes": Quantity(label="gradient spikes in 100 steps", zh="每百步梯度尖峰数", digits=1),
    "train_loss": Quantity(label="training loss at the end, nats a token", zh="训练结束时的损失（奈特/词元）"),
    "loss_1x": Quantity(label="loss at the trained length, nats a token", zh="训练长度处的损失（奈特/词元）"),
    "loss_2x": Quantity(label="loss at twice the length, nats a token", zh="两倍长度处的损失（奈特/词元）"),
    "loss_4x": Quantity(label="loss at four times the length, nats a token", zh="四倍长度处的损失（奈特/词元）"),
    "second_half": Quantity(label="loss of the second half, nats a token", zh="后半段的损失（奈特/词元）"),
    "choice": Quantity(
        label="right continuation chosen of four", zh="四选一选对续文的比例", higher_is_better=True, digits=2
    ),
    "shown_once": Quantity(
        label="loss of a passage shown in the prompt, nats a token", zh="提示中已出现段落的损失（奈特/词元）"
    ),
    "first_text": Quantity(
        label="held-out text of the first domain, bits per byte", zh="第一领域留出文本（比特/字节）", digits=2
    ),
    "second_text": Quantity(
        label="held-out text of the second domain, bits per byte", zh="第二领域留出文本（比特/字节）", digits=2
    ),
    "seen": Quantity(
        label="share of held-out n-grams that were seen", zh="见过的留出 n 元组比例", higher_is_better=True, digits=2
    ),
    "filled": Quantity(
        label="possible n-grams that were seen, log10 of their share",
        zh="可能的 n 元组中见过的比例（log10）",
        higher_is_better=True,
        digits=1,
    ),
    "impossible": Quantity(
        label="share of held-out tokens with probability zero", zh="概率为零的留出词元比例", digits=2
    ),
    "right": Quantity(
        label="share of questions answered rightly", zh="答对题目的比例", higher_is_better=True, digits=2
    ),
    "labelled": Quantity(
        label="share of held-out labels that are found", zh="留出标签判对的比例", higher_is_better=True, digits=3
    ),
}
CURVES = {"loss_by_position": Quantity(label="loss, nats a token", zh="损失（奈特/词元）")}
GIVES = {
    "held_out": ("loss",),
    "stability": ("failed", "spikes", "train_loss"),
    "lengths": ("loss_1x", "loss_2x", "loss_4x", "loss_by_position"),
    "continuation": ("second_half", "choice", "shown_once"),
    "texts": ("first_text", "second_text"),
    "coverage": ("seen", "filled", "impossible"),
    "choices": ("right",),
    "labels": ("labelled",),
}
"""Measurement -> the quantities it gives."""


def quantity(name: str) -> Quantity:
    """The quantity of that name; UserError for an unknown one."""
    known = {**QUANTITIES, **CURVES}
    if name not in known:
        raise unknown_name("quantity", name, known)
    return known[name]
