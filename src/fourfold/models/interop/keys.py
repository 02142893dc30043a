"""Keys of `config.json` that many families share, old names and new: both are read, one is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from fourfold.errors import UserError, unknown_name
from fourfold.models.interop.normal import Config, shortest_cycle
from fourfold.models.interop.normal import unless as unless
from fourfold.models.transformer import Activation, EncoderDecoderConfig, Head, Task, TransformerConfig

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "relu": "relu",
    "tanh": "tanh",
}
ENDINGS = {"sequence": "ForSequenceClassification", "token": "ForTokenClassification", "span": "ForQuestionAnswering"}
FULL, SLIDING = "full_attention", "sliding_attention"


class Ends(TypedDict):
    """What follows the hidden states, as arguments of `TransformerConfig`."""

    head: Head | None
    task: Task | None


def expect(keys: Mapping[str, Any], **usual: Any) -> None:
    """Refuse a key whose value makes another computation than this family's."""
    for name, value in usual.items():
        if keys.get(name, value) not in (value, None):
            raise UserError(f"this value of {name} is not supported", expected=value, got=keys[name])


def read_activation(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def write_activation(activation: Activation, tanh: str = "gelu_pytorch_tanh") -> str:
    """`tanh`: what the family calls the approximation of gelu."""
    return tanh if activation == "gelu-tanh" else activation


def read_ends(keys: Mapping[str, Any], head: Head, *tasks: Task) -> Ends:
    """Head and task by the class name in `architectures`: the family's usual `head`, one of its `tasks`, or neither
    (`LlamaModel`). The number of classes is the file's; without `architectures` it is a language model."""
    architecture = next(iter(keys.get("architectures") or ()), "")
    for task in tasks:
        if architecture.endswith(ENDINGS[task.kind]):
            return Ends(head=None, task=replace(task, classes=_classes(keys)))
    if architecture.endswith("Model") and not architecture.endswith("LMHeadModel"):
        return Ends(head=None, task=None)
    return Ends(head=head, task=None)


def _classes(keys: Mapping[str, Any]) -> int:
    labels = keys.get("id2label")
    return len(labels) if labels else int(keys.get("num_labels") or 2)


def write_task(config: TransformerConfig) -> dict[str, Any]:
    """The labels of a classifier, numbered; nothing for other models and for the usual two."""
    if config.task is None or config.task.classes == 2:
        return {}
    labels = {number: f"LABEL_{number}" for number in range(config.task.classes)}
    return {
        "id2label": {str(number): label for number, label in labels.items()},
        "label2id": {label: number for number, label in labels.items()},
    }


def class_name(family: str, head: str = "ForCausalLM") -> Callable[[Config], str]:
    """The usual class names: `LlamaForCausalLM`, `LlamaModel`, `LlamaForSequenceClassification`."""

    def name(config: Config) -> str:
        stack = config.decoder if isinstance(config, EncoderDecoderConfig) else config
        if stack.task is not None:
            return family + ENDINGS[stack.task.kind]
        return family + ("Model" if stack.head is None else head)

    return name


def read_windows(keys: Mapping[str, Any], kinds: list[str] | None = None) -> tuple[int | None, ...]:
    """`layer_types` with `sliding_window`; `kinds` stand in for absent `layer_types`."""
    found = keys.get("layer_types") or kinds or [FULL]
    unknown = sorted(set(found) - {FULL, SLIDING})
    if unknown:
        raise UserError("this type of layer is not supported", expected=f"{FULL} or {SLIDING}", got=unknown[0])
    window = keys.get("sliding_window")
    return shortest_cycle([window if kind == SLIDING else None for kind in found])


def write_windows(config: TransformerConfig) -> dict[str, Any] | None:
    """The inverse; None when the windows differ in size."""
    windows = [config.window(layer) for layer in range(config.layers)]
    sizes = set(windows) - {None}
    if len(sizes) > 1:
        return None
    kinds = [FULL if window is None else SLIDING for window in windows]
    return {"layer_types": kinds, "sliding_window": next(iter(sizes), None)}
