"""Options that several commands share, so that one thing has one name, and the loading they need."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fourfold.inference import Endpoint, LanguageModel, Sampling, TextEncoder
    from fourfold.tokenizers import Tokenizer

USE, EVALUATE, PRETRAIN, ADAPT = "Utilization", "Evaluation", "Pre-training", "Adaptation"
START, HOUSE = "Start", "Models and machine"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A folder, a .gguf or .arpa file, smollm2, hf:org/name[@revision], transformers:FOLDER, "
        "or openai:model@base_url.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the result.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.")]
MaxTokens = Annotated[int, typer.Option(help="Longest answer in tokens.")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy; without it the model's own default.")]
TopK = Annotated[int | None, typer.Option(help="Sample among so many tokens.")]
TopP = Annotated[float | None, typer.Option(help="Sample among the tokens that make up this probability.")]
MinP = Annotated[float | None, typer.Option(help="Sample among tokens at least so probable, relative to the best.")]
SamplingSeed = Annotated[int | None, typer.Option("--seed", help="Seed of the sampling, for the same text again.")]
DataType = Annotated[str | None, typer.Option("--dtype", help="fp32, bf16 or fp16; chosen for the machine if absent.")]


def load_model(reference: str, dtype: str | None = None) -> LanguageModel | TextEncoder | Endpoint:
    """Any model reference; a remark says what was chosen."""
    from fourfold.errors import UserError
    from fourfold.inference import ContextEncoder, load

    found = load(reference, dtype=dtype)
    if isinstance(found, ContextEncoder):
        advice = "From Python: fourfold.load(FOLDER).states(texts), or .embed(texts)."
        raise UserError("ELMo is features for other models; no command reads it", where=reference, advice=advice)
    return found


def load_tokenizer(reference: str) -> Tokenizer:
    """The tokenizer in a folder, or of any model reference."""
    from fourfold.errors import UserError
    from fourfold.tokenizers import Tokenizer

    if (Path(reference) / "tokenizer.json").is_file():
        return Tokenizer.load(Path(reference))
    found = getattr(load_model(reference), "tokenizer", None)
    if not isinstance(found, Tokenizer):
        raise UserError("this model shows no tokenizer of its own", where=reference)
    return found


def sampling(
    max_tokens: int,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | None = None,
    stop: list[str] | None = None,
) -> Sampling:
    from fourfold.inference import Sampling

    return Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        seed=seed,
        stop=stop or (),
    )


def read_input(file: str) -> str:
    """The text of a file, or of standard input for `-`."""
    from fourfold.files import read_text

    return sys.stdin.read() if file == "-" else read_text(Path(file))


def names(value: str) -> list[str]:
    """`a,b` as a list."""
    return [name.strip() for name in value.split(",") if name.strip()]


def parse_bytes(size: str) -> int:
    """`500MB` or `2GB` as a number of bytes; a bare number is bytes."""
    from fourfold.errors import UserError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", size.strip(), re.IGNORECASE)
    if found is None:
        raise UserError("not a size", expected="500MB or 2GB, say", got=size)
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))
