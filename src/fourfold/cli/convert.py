"""`fourfold convert` and `fourfold inspect`: models as files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import cell, finish, show, show_json
from fourfold.cli.options import HOUSE, Json, Model, load_model
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import LanguageModel

commands = typer.Typer()


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold convert smollm2 smollm2-hf --to hf")
def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Any model reference with weights.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A folder, or a .gguf or .arpa file.")],
    to: Annotated[str | None, typer.Option(help="hf, gguf or arpa; by the ending of DST if not given.")] = None,
    weights: Annotated[
        str | None, typer.Option("--type", help="f32, bf16 or f16, in GGUF q8_0 too: the type of the matrices.")
    ] = None,
) -> None:
    """Write a model in another format: a Hugging Face folder, GGUF, or ARPA for word n-grams.

    An adapter is merged into its base model.
    """
    from fourfold.inference import locate
    from fourfold.models.files import convert as convert_files

    place = locate(source)
    if not (place / "adapter_config.json").is_file():
        convert_files(place, target, to, weights)
    else:
        with TemporaryDirectory() as folder:
            merged = Path(folder) / "merged"
            _merged(source).save(merged)
            convert_files(merged, target, to, weights)
    finish(where=target, next_command=["inspect", target])


def _merged(reference: str) -> LanguageModel:
    """The base model with its adapters added into the weights, in fp32 so that no small change is rounded away."""
    from fourfold.adaptation.peft import merge_lora

    model = own_model(reference, "fp32")
    module: Any = model.module
    merge_lora(module)
    return model


def own_model(reference: str, dtype: str | None = None) -> LanguageModel:
    """A model whose weights are here; an endpoint is refused."""
    from fourfold.inference import LanguageModel

    model = load_model(reference, dtype)
    if not isinstance(model, LanguageModel):
        raise UserError("an endpoint has no weights here", where=reference, advice="Name a folder, a file or smollm2.")
    return model


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold inspect smollm2 --json")
def inspect(model: Model, as_json: Json = False) -> None:
    """What a model is: family, sizes, parameters, tokenizer, what it can do."""
    facts = facts_of(own_model(model), model)
    if as_json:
        show_json(facts)
    else:
        for key, value in facts.items():
            if not isinstance(value, dict):
                show(f"{key:18} {cell(value)}")
        for key, value in facts["config"].items():
            show(f"  {key:16} {value}")
    finish(next_command=["generate", model, "The"], result_on_stdout=False)


def facts_of(lm: LanguageModel, reference: str) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    module: Any = lm.module
    weights = list(module.parameters())
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
