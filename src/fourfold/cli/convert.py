"""`fourfold convert`: models as files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import finish
from fourfold.cli.options import HOUSE, load_model
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
        str | None, typer.Option("--type", help="f32, bf16 or f16; in GGUF also q8_0, q4_0 and q4_k: of the matrices.")
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
