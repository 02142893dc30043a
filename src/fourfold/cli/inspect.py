"""`fourfold inspect`: what a model is made of, what a token costs in it, what it looks at and says on the way."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import cell, finish, gigabytes, say, show, show_json, show_table
from fourfold.cli.options import HOUSE, Json, load_model
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import LanguageModel, TextEncoder

commands = typer.Typer()
PROMPT_TOKENS = 32
"""More of a prompt is not drawn: the pictures would not be readable."""


@commands.command(rich_help_panel=HOUSE, epilog="Example: fourfold inspect smollm2 --prompt 'The capital of France is'")
def inspect(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL|FAMILY:SIZE", help="Any model reference, or a published shape such as llama:7b."),
    ],
    masks: Annotated[bool, typer.Option("--masks", help="Draw the attention masks of the architectures.")] = False,
    prompt: Annotated[
        str | None, typer.Option(help="Draw what the heads look at and what each layer would say next.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pictures.")] = Path("inspection"),
    as_json: Json = False,
) -> None:
    """What a model is: architecture, sizes, modules, parameters, FLOPs and key-value bytes a token, tokenizer.

    With --masks or --prompt also pictures, as PNG and SVG with their numbers as CSV.
    """
    from fourfold.workflow.inspection import require_plots

    preset = is_preset(model)
    if preset and prompt is not None:
        raise UserError("a published shape has no weights to read a prompt", where=model, advice="Name a model.")
    if masks or prompt is not None:
        require_plots()
    lm = None if preset else opened(model)
    facts = facts_of_preset(model) if lm is None else facts_of(lm, model)
    pictures = draw(lm, prompt, masks, output) if masks or prompt is not None else []
    if as_json:
        show_json({**facts, "pictures": pictures} if pictures else facts)
    else:
        show_facts(facts)
        for path in pictures:
            show(f"picture            {path}")
    following = ["plan", model] if preset else next_of(facts, prompt)
    finish(where=output if pictures else None, next_command=following, result_on_stdout=bool(pictures) and not as_json)


def next_of(facts: dict[str, Any], prompt: str | None) -> list[str]:
    """What to do next with a model: have it write, or look at an encoder's attention, or take it elsewhere."""
    reference = str(facts["model"])
    if "generate" in facts["can"]:
        return ["generate", reference, prompt or "The"]
    return ["convert", reference, "DST"] if prompt else ["inspect", reference, "--prompt", "TEXT"]


def opened(reference: str) -> LanguageModel | TextEncoder:
    """A model whose weights are here; an endpoint is refused."""
    from fourfold.inference import Endpoint

    model = load_model(reference)
    if isinstance(model, Endpoint):
        raise UserError("an endpoint has no weights here", where=reference, advice="Name a folder, a file or smollm2.")
    return model


def is_preset(reference: str) -> bool:
    """Whether it names a published shape and not a file."""
    from fourfold.resources import architectures

    family, colon, _ = reference.lower().partition(":")
    return bool(colon) and not Path(reference).exists() and family not in ("hf", "openai") and (
        family in architectures() or "/" not in reference
    )  # fmt: skip


def facts_of_preset(reference: str) -> dict[str, Any]:
    """What a published shape is made of."""
    from fourfold.models import EncoderDecoderConfig
    from fourfold.models.inspection import tree_of_config
    from fourfold.resources import agreement, find_preset

    preset = find_preset(reference)
    agreed = agreement(preset)
    tree = tree_of_config(preset.config, dtype="–")
    return {
        "model": preset.reference,
        "kind": "EncoderDecoder" if isinstance(preset.config, EncoderDecoderConfig) else "TransformerLM",
        "numbers": tree.parameters,
        "published": preset.card.published,
        "published_difference": None if agreed is None else agreed.difference,
        "source": preset.source,
        "note": preset.card.note,
        "context": preset.config.context,
        "vocabulary_size": preset.config.vocabulary_size,
        **costs_of(preset.config, 2),
        "config": _as_table(preset.config),
        "modules": _modules(tree),
    }


def facts_of(lm: LanguageModel | TextEncoder, reference: str) -> dict[str, Any]:
    """What a loaded model is and is made of."""
    from fourfold.inference import LanguageModel
    from fourfold.models.inspection import rows, tree_of
    from fourfold.models.packed import Packed

    module: Any = lm.module
    weights, tree = list(module.parameters()), tree_of(module)
    packed = [part for part in module.modules() if isinstance(part, Packed)]
    config = getattr(module, "config", None)
    tokenizer: Any = lm.tokenizer
    size = 2 if packed else max((weight.element_size() for weight in weights), default=4)  # of keys: bf16 beside packed
    kinds = {row.dtype.partition(",")[0] for row in rows(tree) if row.dtype}
    return {
        "model": reference,
        "kind": type(module).__name__,
        "numbers": tree.parameters,
        "memory_bytes": sum(weight.nbytes for weight in weights) + sum(part.bytes for part in packed),
        "dtype": ", ".join(sorted(kinds)),
        "context": module.context if module.context is not None else "any length",
        "vocabulary_size": module.vocabulary_size,
        "tokenizer": type(tokenizer).__name__,
        "document_start": tokenizer.document_start_id,
        "stop_ids": ", ".join(map(str, sorted(lm.stop_ids))) if isinstance(lm, LanguageModel) else "",
        "chat_template": tokenizer.chat_template is not None,
        "can": ", ".join(sorted(lm.capabilities)),
        **costs_of(config, size),
        "config": _as_table(config),
        "modules": _modules(tree),
    }


def costs_of(config: Any, size: int) -> dict[str, Any]:
    """Architecture in words, parameters by part, what a token costs; nothing for models that are counted."""
    from fourfold.models import EncoderDecoderConfig, RecurrentConfig, TransformerConfig
    from fourfold.models.inspection import count, forward_flops, in_words, kv_bytes, parameters_by_part

    if not isinstance(config, TransformerConfig | EncoderDecoderConfig | RecurrentConfig):
        return {}
    counts = count(config)
    costs: dict[str, Any] = {
        "parameters_active": counts.active,
        "parameters_in_products": counts.in_products,
        "flops_per_token": forward_flops(config, 1),
        "flops_per_token_full": forward_flops(config, config.context),
        "kv_bytes_per_token": kv_bytes(config, 1, size),
    }
    if not isinstance(config, RecurrentConfig):
        costs = {"architecture": in_words(config), "parameters_by_part": parameters_by_part(config), **costs}
    return costs


def show_facts(facts: dict[str, Any]) -> None:
    """Lines a person reads: what it is, what it costs, its modules."""
    told = ("model", "kind", "numbers", "published", "source", "note", "memory_bytes", "dtype", "context",
            "vocabulary_size", "tokenizer", "document_start", "stop_ids", "chat_template", "can")  # fmt: skip
    for key in told:
        if facts.get(key) not in (None, ""):
            show(f"{key:18} {cell(facts[key])}")
    for key, text in facts.get("architecture", {}).items():
        show(f"{key:18} {text}")
    if "parameters_by_part" in facts:
        parts = facts["parameters_by_part"].items()
        show(f"{'parameters':18} " + ", ".join(f"{part} {number:,}" for part, number in parts))
    if "flops_per_token" in facts:
        if facts["parameters_active"] != facts["numbers"]:
            show(f"{'active':18} {facts['parameters_active']:,} parameters a token")
        start, full = facts["flops_per_token"], facts["flops_per_token_full"]
        show(f"{'FLOPs a token':18} {start:.3g} at the start, {full:.3g} at the full context")
        kept = facts["kv_bytes_per_token"]
        if kept:
            whole = gigabytes(kept * facts["context"])
            show(f"{'keys and values':18} {kept:,} bytes a token, {whole} at the full context")
    if "architecture" not in facts:
        for key, value in facts["config"].items():
            show(f"  {key:16} {value}")
    show()
    show("Under a name × n stands one of the n; the sums are of all.")
    show_table(facts["modules"], {"module": "module", "shape": "shape", "dtype": "type", "parameters": "parameters"})


def draw(lm: LanguageModel | TextEncoder | None, prompt: str | None, masks: bool, folder: Path) -> list[Path]:
    """Write the pictures wished for; returns the PNG files."""
    from fourfold.models import EncoderDecoder, TransformerLM
    from fourfold.models.inspection import read
    from fourfold.workflow.inspection import draw_masks, draw_reading, save

    module: Any = None if lm is None else lm.module
    if lm is not None and not isinstance(module, TransformerLM | EncoderDecoder):
        raise UserError("only a transformer has attention to draw", where=lm.name, got=type(module).__name__)
    pictures = [draw_masks()] if masks else []
    if lm is not None and prompt is not None:
        tokenizer = lm.tokenizer
        ids = _drawn(tokenizer.encode(prompt))
        reading = read(module, ids)
        says = None if reading.lens is None else [texts(tokenizer, row) for row in reading.lens.ids.tolist()]
        pictures += draw_reading(reading, texts(tokenizer, ids), says)
    return [save(picture, folder)[0] for picture in pictures]


def texts(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """Each token as text, special ones too; pieces of a character as their bytes."""
    return [_text(tokenizer, number) for number in ids]


def _text(tokenizer: Any, number: int) -> str:
    if number >= tokenizer.vocabulary_size:  # a row of the embedding that no token uses
        return f"id {number}"
    raw: bytes = tokenizer.token_bytes(number)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex(" ").upper()


def _drawn(ids: list[int]) -> list[int]:
    if len(ids) > PROMPT_TOKENS:
        say(f"The prompt has {len(ids)} tokens; the first {PROMPT_TOKENS} are drawn.")
    return ids[:PROMPT_TOKENS]


def _modules(tree: Any) -> list[dict[str, Any]]:
    from fourfold.models.inspection import rows

    return [
        {
            "module": "  " * (row.depth - 1) + _name(row.path, row.times),
            "path": row.path,
            "kind": row.kind,
            "times": row.times,
            "shape": ", ".join(_shape(name, shape) for name, shape in row.shapes.items()),
            "dtype": row.dtype,
            "parameters": row.parameters,
        }
        for row in rows(tree)
        if row.depth
    ]  # fmt: skip


def _name(path: str, times: int) -> str:
    return path.rpartition(".")[2] + (f" × {times}" if times > 1 else "")


def _shape(name: str, shape: tuple[int, ...]) -> str:
    sizes = " × ".join(map(str, shape))
    return sizes if name == "weight" else f"{name} {sizes}"


def _as_table(config: Any) -> dict[str, Any]:
    from dataclasses import asdict, is_dataclass

    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
