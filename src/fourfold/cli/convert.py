"""`fourfold convert` and `fourfold inspect`: models as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import finish, show, show_json
from fourfold.cli.options import HOUSE, DataType, Json, Model, load_model
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import LanguageModel

commands = typer.Typer()
GGUF_TYPES = ("f32", "f16", "bf16", "q8_0")


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold convert smollm2 smollm2-hf --to hf")
def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Any model reference.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A folder, or a .gguf or .arpa file.")],
    to: Annotated[str | None, typer.Option(help="hf, gguf or arpa; by the ending of DST if not given.")] = None,
    gguf_type: Annotated[str, typer.Option("--type", help="Type of the matrices in a GGUF file.")] = "f16",
    dtype: DataType = None,
) -> None:
    """Write a model in another format: a Hugging Face folder, GGUF, or ARPA for word n-grams.

    An adapter folder is merged into its base model.
    """
    kind = to or {".gguf": "gguf", ".arpa": "arpa"}.get(target.suffix, "hf")
    if kind not in ("hf", "gguf", "arpa"):
        raise UserError("unknown --to", expected="hf, gguf or arpa", got=kind)
    if gguf_type not in GGUF_TYPES:
        raise UserError("unknown --type", expected=", ".join(GGUF_TYPES), got=gguf_type)
    model = own_model(source, dtype)
    _merge(model)
    if kind == "hf":
        model.save(target)
    elif kind == "gguf":
        _save_gguf(model, target, gguf_type)
    else:
        _save_arpa(model, target)
    finish(where=target, next_command=["inspect", target])


def own_model(reference: str, dtype: str | None = None) -> LanguageModel:
    """A model whose weights are here; an endpoint is refused."""
    from fourfold.inference import LanguageModel

    model = load_model(reference, dtype)
    if not isinstance(model, LanguageModel):
        raise UserError("an endpoint has no weights here", where=reference, advice="Name a folder, a file or smollm2.")
    return model


def _merge(model: LanguageModel) -> None:
    from fourfold.adaptation import merge_lora
    from fourfold.models import Linear

    module: Any = model.module
    if any(isinstance(layer, Linear) and len(layer.deltas) for layer in module.modules()):
        merge_lora(module)


def _save_gguf(model: LanguageModel, target: Path, gguf_type: Any) -> None:
    from fourfold.models import TransformerLM
    from fourfold.models.files import save_gguf
    from fourfold.tokenizers import Tokenizer

    if not isinstance(model.module, TransformerLM) or not isinstance(model.tokenizer, Tokenizer):
        raise UserError("only transformers have a GGUF form", where=model.name, advice="Use --to hf.")
    save_gguf(model.module, model.tokenizer, target, gguf_type)


def _save_arpa(model: LanguageModel, target: Path) -> None:
    from fourfold.models.ngram import NGramLM, WordTokenizer, write_arpa

    if not isinstance(model.module, NGramLM) or not isinstance(model.tokenizer, WordTokenizer):
        raise UserError(
            "only word n-gram models have an ARPA form",
            where=model.name,
            advice="Train one with: fourfold ngram train TEXT -o DIR",
        )
    write_arpa(model.module, target, model.tokenizer.words)


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold inspect smollm2 --json")
def inspect(model: Model, as_json: Json = False) -> None:
    """What a model is: family, sizes, parameters, tokenizer, what it can do."""
    facts = facts_of(own_model(model), model)
    if as_json:
        show_json(facts)
    else:
        for key, value in facts.items():
            if not isinstance(value, dict):
                show(f"{key:18} {f'{value:,}' if isinstance(value, int) else value}")
        for key, value in facts["config"].items():
            show(f"  {key:16} {value}")
    finish(next_command=["generate", model, "The"], result_on_stdout=False)


def facts_of(lm: LanguageModel, reference: str) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    module: Any = lm.module
    weights = list(module.parameters()) or list(module.buffers())
    config = getattr(module, "config", None)
    tokenizer: Any = lm.tokenizer
    return {
        "model": reference,
        "kind": type(module).__name__,
        "numbers": sum(weight.numel() for weight in weights),
        "memory_bytes": sum(weight.numel() * weight.element_size() for weight in weights),
        "dtype": ", ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in weights})),
        "context": module.context if module.context is not None else "any length",
        "vocabulary_size": module.vocabulary_size,
        "tokenizer": type(tokenizer).__name__,
        "document_start": tokenizer.document_start_id,
        "stop_ids": ", ".join(map(str, sorted(lm.stop_ids))),
        "chat_template": tokenizer.chat_template is not None,
        "can": ", ".join(sorted(lm.capabilities)),
        "config": asdict(config) if is_dataclass(config) and not isinstance(config, type) else {},
    }
