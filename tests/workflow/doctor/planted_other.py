"""Defects of adapters, GGUF files and counted models."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from fourfold.models import build_model
from fourfold.models.files import read_gguf
from tests.workflow.doctor.planted_folder import ADDED
from tests.workflow.doctor.planting import plant
from tests.workflow.doctor.sound import edit, edit_tensors, make_folder, tokenizer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
QUERY = "base_model.model.model.layers.1.self_attn.q_proj"


def config(folder: Path, **keys: Any) -> None:
    edit(folder / CONFIG, lambda values: values.update(keys))


# ---- adapters


@plant("base-unnamed", model="adapter")
def base_forgotten(folder: Path) -> None:
    config(folder, base_model_name_or_path=None)


@plant("base-absent", model="adapter")
def base_on_the_hub_only(folder: Path) -> None:
    config(folder, base_model_name_or_path="someone/a-model-that-is-not-here")


@plant("adapter-kind", model="adapter")
def adapter_that_is_no_lora(folder: Path) -> None:
    config(folder, peft_type="IA3")


@plant("lora-layer-unknown", model="adapter")
def adapter_of_a_deeper_model(folder: Path) -> None:
    base = make_folder(folder.parent / "shallow", layers=2)
    config(folder, base_model_name_or_path=str(base))


@plant("lora-misshaped", model="adapter")
def adapter_of_a_wider_model(folder: Path) -> None:
    base = make_folder(folder.parent / "wide", hidden_size=48)
    config(folder, base_model_name_or_path=str(base))


@plant("lora-half", model="adapter")
def one_factor_lost(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.pop(f"{QUERY}.lora_B.weight"))


@plant("lora-rank", model="adapter")
def another_rank_in_the_configuration(folder: Path) -> None:
    config(folder, r=8)


@plant("lora-scale", model="adapter")
def alpha_of_another_run(folder: Path) -> None:
    config(folder, lora_alpha=512)


@plant("lora-untrained", model="adapter")
def saved_before_training(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda ts: [tensor.zero_() for name, tensor in ts.items() if "lora_B" in name])


@plant("lora-target-missing", model="adapter")
def target_without_tensors(folder: Path) -> None:
    edit(folder / CONFIG, lambda values: values["target_modules"].append("out_proj"))


@plant("lora-layers-missing", model="adapter")
def last_layer_not_saved(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda ts: [ts.pop(name) for name in list(ts) if ".layers.3." in name])


@plant("new-tokens-unsaved", model="adapter")
def tokens_added_embedding_not_saved(folder: Path) -> None:
    tokenizer().save(folder)
    size = tokenizer().vocabulary_size
    new = {"id": size, "content": "<tool>", **ADDED}
    edit(folder / "tokenizer.json", lambda rules: rules["added_tokens"].append(new))


@plant("merge-drift", model="adapter")
def delta_too_small_for_bf16(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda ts: [t.mul_(1e-4) for name, t in ts.items() if "lora_B" in name])


@plant("merge-drift-small", model="adapter")
def delta_small_for_bf16(folder: Path) -> None:
    edit_tensors(folder / WEIGHTS, lambda ts: [t.mul_(2e-3) for name, t in ts.items() if "lora_B" in name])


# ---- GGUF


def set_number(path: Path, key: str, value: int) -> None:
    """Another 32-bit number under a key of the header."""
    data = bytearray(path.read_bytes())
    at = data.index(key.encode()) + len(key) + 4
    data[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(data)


def set_type(path: Path, tensor: str, type: int) -> None:
    """Another type of a tensor; it stays where it is, so the new one must not be larger."""
    data = bytearray(path.read_bytes())
    name = struct.pack("<Q", len(tensor)) + tensor.encode()
    dimensions = len(read_gguf(path).tensors[tensor].shape)
    at = data.index(name) + len(name) + 4 + 8 * dimensions
    data[at : at + 4] = struct.pack("<I", type)
    path.write_bytes(data)


@plant("gguf-damaged", model="gguf")
def file_cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@plant("gguf-vector-packed", model="gguf")
def norm_packed(path: Path) -> None:
    set_type(path, "blk.1.attn_norm.weight", 8)
    zero(path, "blk.1.attn_norm.weight", 34)


def zero(path: Path, tensor: str, size: int) -> None:
    """Harmless blocks where another type was."""
    data = bytearray(path.read_bytes())
    at = read_gguf(path).tensors[tensor].offset
    data[at : at + size] = bytes([0, 0x3C]) + bytes([1, 2] * 16)
    path.write_bytes(data)


@plant("gguf-layer-unlike", model="gguf", also=("weight-nan", "weight-outlier"))
def one_layer_of_another_type(path: Path) -> None:
    set_type(path, "blk.2.attn_q.weight", 2)


@plant("gguf-ends-low", model="gguf")
def head_in_two_bits(path: Path) -> None:
    """As a file whose rows fill blocks of 256 would have it: 34 bytes of Q8_0 hold 32 values, 84 of Q2_K hold 256."""
    make_wide(path)
    set_type(path, "output.weight", 10)
    data = bytearray(path.read_bytes())
    info = read_gguf(path).tensors["output.weight"]
    block = bytes(range(1, 81)) + bytes([0, 0x3C, 0, 0x3C])
    data[info.offset : info.offset + info.size] = block * (info.size // len(block))
    path.write_bytes(data)


def make_wide(path: Path) -> None:
    from fourfold.models.files import save_gguf

    shape = {"family": "llama", "layers": 1, "hidden_size": 256, "heads": 2, "context": 64, "tied_embeddings": False}
    save_gguf(build_model(shape, tokenizer().vocabulary_size, seed=0), tokenizer(), path, type="q8_0")


@plant("gguf-file-type", model="gguf")
def another_type_in_the_header(path: Path) -> None:
    set_number(path, "general.file_type", 2)


@plant("gguf-pre-missing", model="gguf")
def cut_of_words_not_named(path: Path) -> None:
    data = path.read_bytes()
    key, value = b"tokenizer.ggml.pre", b"gpt-2"
    old = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value
    assert old in data
    # The key is spelt otherwise, at the same length, so that no one finds it.
    path.write_bytes(data.replace(old, old.replace(b"ggml.pre", b"ggml.prf")))


# ---- counted


@plant("ngram-unreadable", model="arpa")
def arpa_cut(path: Path) -> None:
    text = path.read_text("utf-8")
    path.write_text(text[: len(text) // 2], "utf-8")


@plant("ngram-sum", model="arpa")
def probability_lost(path: Path) -> None:
    lines = path.read_text("utf-8").split("\n")
    start = lines.index("\\1-grams:")
    logs = {at: float(lines[at].split("\t")[0]) for at in range(start + 1, start + 20) if "<s>" not in lines[at]}
    best = max(logs, key=lambda at: logs[at])
    lines[best] = "-5.0\t" + lines[best].partition("\t")[2]
    path.write_text("\n".join(lines), "utf-8")


@plant("ngram-no-unknown", model="arpa")
def no_unknown_word(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace("<unk>", "qqqqq"), "utf-8")


@plant("ngram-unreadable", model="ngram")
def arrays_of_another_model(folder: Path) -> None:
    edit(folder / "config.json", lambda values: values["ngrams"].append(7))
