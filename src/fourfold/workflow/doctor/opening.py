"""Opens a model part by part; what cannot be opened becomes a finding, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from fourfold.errors import UserError
from fourfold.inference import locate
from fourfold.models.files import GGUF, GGUFModel, describe_folder, describe_gguf, open_gguf, read_gguf
from fourfold.models.interop import encoder_folder
from fourfold.resources import hub_snapshot
from fourfold.tokenizers import Tokenizer, from_gguf, has_tokenizer
from fourfold.workflow.doctor.files import JSON_BYTES, read_table
from fourfold.workflow.doctor.findings import Check, Finding, Kind, Outcome, Words, kind
from fourfold.workflow.doctor.headers import KINDS as HEADERS
from fourfold.workflow.doctor.headers import open_weights
from fourfold.workflow.doctor.model import Form, Model
from fourfold.workflow.doctor.tensors import GGUFTensors

ADAPTER = "adapter_config.json"
NGRAM = "fourfold-ngram"
T = TypeVar("T")

GGUF_DAMAGED = kind("gguf-damaged")
CONFIG_UNREADABLE = kind("config-unreadable")
FAMILY_UNKNOWN = kind("family-unknown")
PACKED = kind("weights-packed")
TOKENIZER_UNREADABLE = kind("tokenizer-unreadable")


def open_model(reference: str, *, deep: bool = False, base: str | None = None, depth: int = 0) -> Model:
    """What a reference names, as far as it can be opened; UserError only where there is nothing at all.

    `base` stands in for the base that an adapter names.
    """
    place = locate_here(reference)
    if place.is_dir():
        return _open_folder(reference, place, deep, base, depth)
    form: Form = "arpa" if place.name.endswith((".arpa", ".arpa.gz")) else "gguf"
    if form == "gguf" and place.suffix != ".gguf":
        raise UserError("not a model: a folder, a .gguf or an .arpa file is one", where=place)
    model = Model(reference=reference, place=place, form=form, deep=deep)
    if form == "gguf":
        _open_gguf(model)
    return model


def locate_here(reference: str) -> Path:
    """The folder or file a reference names; nothing is fetched."""
    if reference.startswith("hf:"):
        name, _, revision = reference.removeprefix("hf:").partition("@")
        return hub_snapshot(name, revision or None, fetch=False)
    return locate(reference)


def _open_folder(reference: str, folder: Path, deep: bool, base: str | None, depth: int) -> Model:
    place, trouble = attempt(lambda: encoder_folder(folder), CONFIG_UNREADABLE, "modules.json")
    place = place if place is not None and place.is_dir() else folder
    config = read_table(place / "config.json")
    form: Form = "adapter" if (place / ADAPTER).is_file() else "folder"
    if config.get("model_type") == NGRAM:
        form = "ngram"
    model = Model(reference=reference, place=place, form=form, deep=deep, troubles=trouble)
    model.config = read_table(place / ADAPTER) if form == "adapter" else config
    model.generation = read_table(place / "generation_config.json")
    model.settings = read_table(place / "special_tokens_map.json") | read_table(place / "tokenizer_config.json")
    model.rules = read_table(place / "tokenizer.json")
    if form != "ngram":
        model.tensors, troubles = open_weights(place, form == "adapter")
        model.troubles += troubles
    if form == "folder" and config:
        _describe(model)
    if has_tokenizer(place) and all(path.stat().st_size < JSON_BYTES for path in place.glob("*.json")):
        model.tokenizer, troubles = attempt(lambda: Tokenizer.load(place), TOKENIZER_UNREADABLE, "tokenizer.json")
        # A name without a token is told by the check of the vocabulary, with its place.
        model.troubles += [one for one in troubles if "is not in the vocabulary" not in str(one.values["reason"])]
    if form == "adapter":
        model.base = _open_base(model, base, depth)
        model.tokenizer = model.tokenizer or (model.base.tokenizer if model.base else None)
    return model


def _describe(model: Model) -> None:
    packing = model.config.get("quantization_config")
    if isinstance(packing, dict):
        method = str(packing.get("quant_method", "?"))[:40]
        model.troubles.append(PACKED.at("config.json", method=method))
        return
    path = model.file("config.json")
    shapes = {name: entry.shape for name, entry in model.entries.items()}
    model.described, troubles = attempt(
        lambda: describe_folder(model.config, path, shapes), CONFIG_UNREADABLE, "config.json"
    )
    if troubles and "not one that is known here" in str(troubles[0].values["reason"]):
        kind = model.config.get("model_type")
        unknown = FAMILY_UNKNOWN if isinstance(kind, str) and kind else None
        troubles = [unknown.at("config.json", kind=kind)] if unknown else troubles
    model.troubles += troubles


def _open_gguf(model: Model) -> None:
    name = model.place.name
    file: GGUF | None
    file, model.troubles = attempt(lambda: read_gguf(model.place), GGUF_DAMAGED, name)
    if file is None:
        return
    model.config, model.tensors = file.metadata, GGUFTensors(file)
    opened: GGUFModel | None
    opened, troubles = attempt(lambda: open_gguf(model.place), CONFIG_UNREADABLE, name)
    if opened is not None:
        model.gguf = opened
        model.described, more = attempt(lambda: describe_gguf(opened), CONFIG_UNREADABLE, name)
        troubles += more
    elif troubles and "unknown model architecture" in str(troubles[0].values["reason"]):
        troubles = [FAMILY_UNKNOWN.at(name, kind=file.architecture)]
    model.troubles += troubles
    model.tokenizer, troubles = attempt(lambda: from_gguf(file.metadata), TOKENIZER_UNREADABLE, name)
    model.troubles += troubles


def _open_base(model: Model, given: str | None, depth: int) -> Model | None:
    """The base of an adapter; None where it is not on this machine, which the adapter's check tells."""
    named = given or model.config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named or depth > 3:
        return None
    for candidate in (named, str(model.place / named), f"hf:{named}"):
        try:
            return open_model(candidate, deep=model.deep, depth=depth + 1)
        except (UserError, OSError, ValueError):
            continue
    return None


def attempt(action: Callable[[], T], kind: Kind, where: str) -> tuple[T | None, list[Finding]]:
    """The result, or None and what to tell of the failure."""
    try:
        return action(), []
    except UserError as error:
        return None, [kind.at(where, reason=without_place(error, where))]
    except Exception as error:  # a damaged file can end a reader in any way, and the doctor says so
        return None, [kind.at(where, reason=told(error))]
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how a Rust package fails
            raise
        return None, [kind.at(where, reason=told(error))]


def told(error: BaseException) -> str:
    text = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def without_place(error: UserError, name: str) -> str:
    """A sentence about a file without the file, which the finding names."""
    text = str(error)
    head, at, rest = text.partition(": ")
    cut = rest if at and (name in head or head.endswith((".json", ".gguf", ".safetensors"))) else text
    return cut.rstrip(".")[:300]


def check(model: Model) -> Iterator[Outcome]:
    yield from model.troubles


CHECK: Check[Model] = Check(
    title=Words("Opening", "打开"),
    run=check,
    kinds=(*HEADERS, GGUF_DAMAGED, CONFIG_UNREADABLE, FAMILY_UNKNOWN, PACKED, TOKENIZER_UNREADABLE),
)
