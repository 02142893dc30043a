"""Small sound models and data, each to be spoilt in one place by a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fourfold.adaptation.peft import LoRAOptions, add_lora
from fourfold.inference import LanguageModel
from fourfold.models import LowRankDelta, build_model
from fourfold.models.files import save_adapter, save_gguf
from fourfold.models.ngram import train_word_ngram, write_arpa
from fourfold.tokenizers import Tokenizer, train_byte_bpe

TEXTS = [
    "The sky is blue and the people came to the meeting. " * 4,
    "River stone light garden winter letter bridge music teacher market 12 31 user assistant system.",
] * 20
CONTEXT = 256
SHAPE = {"layers": 4, "hidden_size": 32, "heads": 2, "kv_heads": 1, "context": CONTEXT, "tied_embeddings": False}
CHATS = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in (
        ("What colour is the sky?", "It is blue."),
        ("Where did they meet?", "At the bridge."),
        ("Who came?", "The teacher."),
        ("What did they bring?", "A letter."),
    )
]
EXAM = "which of the two rivers that leave the lake in the north carries more water to the sea in a dry year"
LONG = "the people who came to the meeting had read the report about the bridge and the garden before winter "
PAIRS = [
    {
        "prompt": f"Question {number}?",
        "chosen": "A good answer."[: 8 + number % 5],
        "rejected": "A bad one, no."[: 9 + number * 3 % 5],
    }
    for number in range(40)
]


def tokenizer() -> Tokenizer:
    return train_byte_bpe(TEXTS, 400)


def make_folder(folder: Path, **shape: Any) -> Path:
    """A decoder with a chat template, as `fourfold pretrain` leaves it."""
    tokens = tokenizer()
    sizes = {"family": "llama", **SHAPE, **shape}
    module = build_model({key: value for key, value in sizes.items() if value is not None}, tokens.vocabulary_size)
    LanguageModel(module, tokens).save(folder)
    edit(folder / "tokenizer_config.json", lambda settings: settings.update(pad_token="<|im_end|>"))
    return folder


def make_gguf(path: Path) -> Path:
    tokens = tokenizer()
    save_gguf(build_model({"family": "llama", **SHAPE}, tokens.vocabulary_size, seed=0), tokens, path, type="q8_0")
    return path


def make_adapter(folder: Path, base: Path) -> Path:
    """A LoRA adapter of the folder `base` that changes something."""
    tokens = tokenizer()
    module = build_model({"family": "llama", **SHAPE}, tokens.vocabulary_size, seed=0)
    add_lora(module, LoRAOptions(rank=4, alpha=8), seed=0)
    generator = torch.Generator().manual_seed(1)
    for delta in module.modules():
        if isinstance(delta, LowRankDelta):
            delta.up.data = torch.randn(delta.up.shape, generator=generator) * 0.1
    save_adapter(module, folder, base=str(base))
    return folder


def make_arpa(path: Path) -> Path:
    text = path.with_suffix(".txt")
    text.write_text("\n".join(TEXTS[:6]) + "\n", "utf-8")
    model, words = train_word_ngram([text], order=2, smoothing="witten-bell")
    text.unlink()
    write_arpa(model, path, words.words)
    return path


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the value in a JSON file in place, or to what `change` returns."""
    value = json.loads(path.read_text("utf-8"))
    changed = change(value)
    path.write_text(json.dumps(value if changed is None else changed), "utf-8")


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the tensors of a safetensors file in place."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n", "utf-8")
    return path
