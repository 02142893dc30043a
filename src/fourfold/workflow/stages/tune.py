"""`[tune.name]`: adapt a model by low-rank deltas, from conversations (SFT) or from preferences (DPO)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.errors import UserError
from fourfold.files import atomic_folder, read_json, write_json
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Fit,
    OptimizerOptions,
    decide_steps,
    run_fit,
)

if TYPE_CHECKING:
    from torch import nn

    from fourfold.adaptation.instruction import EpochOrder
    from fourfold.inference import Message
    from fourfold.tokenizers import Tokenizer
    from fourfold.training import BatchSource, Objective
    from fourfold.workflow.context import StageContext

DATA_FILES = {"sft": "conversations.jsonl", "dpo": "preferences.jsonl"}
PAIRS_AT_ONCE = 2
"""Pairs that go through the model together; more would need more than 4 GB with a 135M model."""


class PeftOptions(Options):
    """The low-rank deltas that are trained."""

    kind: Literal["lora"] = "lora"
    """LoRA (Hu et al. 2021)."""
    rank: int = Field(default=8, ge=1, le=512)
    """Rank of each delta."""
    alpha: float = Field(default=16, gt=0)
    """Deltas are scaled by alpha / rank."""
    targets: tuple[str, ...] = ("query", "key", "value", "output", "gate", "up", "down")
    """The linear layers that get one."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the inputs of a delta that is dropped while training."""


class TuneOptions(Options):
    """Which model learns from what."""

    method: Literal["sft", "dpo"]
    """`sft`: imitate the assistant's turns; `dpo`: prefer the chosen answer (Rafailov et al. 2023)."""
    model: str
    """A model reference, or another tune stage, on whose deltas a new one is stacked."""
    data: tuple[str, ...] = Field(min_length=1)
    """Data stages or JSONL files."""
    replay: tuple[str, ...] = ()
    """Conversations mixed in against forgetting."""
    replay_share: float = Field(default=0.375, gt=0, lt=1)
    """Share of the examples that are replayed, when `replay` is given."""
    label: str | None = None
    """What figures call the tuned model."""
    peft: PeftOptions = PeftOptions()
    """What is trained."""
    batch_size: int = Field(default=8, ge=1)
    """Conversations, or pairs of answers, of a step."""
    context: int = Field(default=256, ge=16)
    """Longest conversation in tokens; longer ones are cut."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly DPO holds to the reference."""
    optimizer: OptimizerOptions = OptimizerOptions(lr=1e-3, weight_decay=0.0, schedule="linear", final=0.0)
    """The optimizer."""
    budget: Budget = Budget(steps=60)
    """How long to train."""
    checkpoint: CheckpointOptions = CheckpointOptions(steps=50, seconds=60)
    """How much work a crash may cost."""


def uses(options: TuneOptions) -> list[Use]:
    model = Use("model", options.model, ("tune", "pretrain"), outside=True)
    data = [Use("data", name, ("data",), outside=True) for name in options.data]
    return [model, *data, *(Use("replay", name, ("data",), outside=True) for name in options.replay)]


def check(options: TuneOptions) -> None:
    if options.method == "dpo" and options.replay:
        raise UserError("'replay' is for method 'sft'", got="method 'dpo'")


def run(context: StageContext, options: TuneOptions) -> None:
    from fourfold.adaptation.peft import LoRAOptions, adapter_count, add_lora, trainable_parameters
    from fourfold.inference import preferred_dtype
    from fourfold.models import is_packed, make_dense
    from fourfold.training import choose_precision, steps_for_seconds

    model = tunable(context.models.fresh(options.model), options.model)
    options = fitting(options, model.module.context)
    # What trains reads its weights backwards too, which packed ones are not made for.
    if is_packed(model.module):
        make_dense(model.module, preferred_dtype(model.device))
    module = model.module
    earlier = adapter_count(module)
    add_lora(module, LoRAOptions(**options.peft.model_dump(exclude={"kind"})), seed=context.seed)
    batches, objective, data = make_training(context, options, model.tokenizer, earlier)
    optimizer, precision = options.optimizer.make(module), choose_precision("cpu", module)
    label = options.label or context.name
    say(f"{label}: {trainable_parameters(module):,} numbers train, {precision}")

    def probe(seconds: float) -> int:
        return steps_for_seconds(module, objective, batches, optimizer, seconds, precision=precision)

    steps = decide_steps(context.folder, options.budget, data.pop("tokens_a_step"), probe)
    fit = Fit(
        model=module,
        objective=objective,
        batches=batches,
        optimizer=optimizer,
        update=options.optimizer,
        precision=precision,
        steps=steps,
        label=label,
        one_batch=data.pop("one_batch"),
    )
    totals = run_fit(context, fit, options.checkpoint)
    card = {
        "method": options.method,
        "label": label,
        "generation": context.models.card(options.model)["generation"],
        "base": options.model,
        "peft": options.peft.model_dump(),
        "trainable_parameters": trainable_parameters(module),
        **data,
        "steps": totals.steps,
        "tokens_seen": totals.tokens,
        "seconds": round(totals.seconds, 3),
        "budget": options.budget.model_dump(exclude_none=True),
    }
    save_result(context, options.model, module, model.tokenizer, card)


def tunable(model: Any, reference: str) -> Any:
    """The model, if its weights are here and have layers that take deltas."""
    from fourfold.inference import Endpoint
    from fourfold.models import Linear

    if isinstance(model, Endpoint):
        raise UserError(
            "the weights behind an endpoint cannot be tuned",
            where=reference,
            advice="Name the model's own files: a folder, a .gguf file, smollm2 or hf:org/name.",
        )
    if not any(isinstance(layer, Linear) for layer in model.module.modules()):
        raise UserError("this model has no layers for low-rank deltas", where=reference, expected="a transformer")
    return model


def fitting(options: TuneOptions, longest: int | None) -> TuneOptions:
    """The options with a context the model can read."""
    if longest is None or options.context <= longest:
        return options
    say(f"{options.model} reads {longest} tokens at most; longer conversations are cut there.")
    return options.model_copy(update={"context": longest})


def make_training(
    context: StageContext, options: TuneOptions, tokenizer: Tokenizer, earlier: int
) -> tuple[BatchSource, Objective, dict[str, Any]]:
    """Batches, objective, and what the card says of the data."""
    from fourfold.adaptation.alignment import DPO, preference_batches, read_preferences
    from fourfold.adaptation.instruction import conversation_batches, mix, read_conversations
    from fourfold.training import causal_language_modelling

    files = [data_file(context, name, options.method) for name in options.data]
    card: dict[str, Any] = {"replay_share": 0.0}
    if options.method == "dpo":
        pairs = [pair for file in files for pair in read_preferences(file)]
        sides = (side for pair in pairs for side in (pair["prompt"], pair["chosen"]))
        remark_on_reading(options.model, tokenizer, sides)
        preferred = preference_batches(
            pairs, tokenizer, options.batch_size, options.context, context.seed, micro_batch=PAIRS_AT_ONCE
        )
        card |= {"examples": len(pairs), "tokens_a_step": tokens_a_step(preferred.order)}
        card |= {"one_batch": preferred.order.steps_per_epoch == 1}
        # The reference is the model as it was given: the deltas that were there before ours.
        return preferred, DPO(beta=options.beta, reference_adapters=earlier), card
    conversations = [one for file in files for one in read_conversations(file)]
    remark_on_reading(options.model, tokenizer, conversations)
    if options.replay:
        replayed = [one for name in options.replay for one in read_conversations(data_file(context, name, "sft"))]
        conversations = mix(conversations, replayed, options.replay_share, context.seed)
        card |= {"replay_share": options.replay_share, "replayed": len(replayed)}
    batches = conversation_batches(conversations, tokenizer, options.batch_size, options.context, context.seed)
    card |= {"examples": len(conversations), "tokens_a_step": tokens_a_step(batches.order)}
    card |= {"one_batch": batches.order.steps_per_epoch == 1}
    return batches, causal_language_modelling(), card


def remark_on_reading(model: str, tokenizer: Tokenizer, passages: Iterable[str | Sequence[Message]]) -> None:
    """Say it when the model's vocabulary was not made for the training data."""
    from fourfold.tokenizers import hard_to_read

    turns = ([one] if isinstance(one, str) else [message["content"] for message in one] for one in passages)
    if reason := hard_to_read(tokenizer.encode, (text for texts in turns for text in texts)):
        say(f"{model} can hardly read the training data ({reason}).")


def data_file(context: StageContext, name: str, method: str) -> Path:
    """The file of a data stage for this method, or the outside file."""
    if name not in context.stages:
        return context.path(name)
    other = next(file for way, file in DATA_FILES.items() if way != method)
    if (context.path(name) / other).is_file():
        raise UserError(f"[{name}] makes {other}, which method '{method}' cannot use", where=context.name)
    return context.output_of(name, DATA_FILES[method])


def tokens_a_step(order: EpochOrder) -> int:
    return max(1, sum(order.lengths) * order.batch_size // len(order.lengths))


def save_result(
    context: StageContext, base: str, module: nn.Module, tokenizer: Tokenizer, card: dict[str, Any]
) -> None:
    """Write the adapter with its tokenizer and the card."""
    from fourfold.models.files import save_adapter

    module.eval()
    with atomic_folder(context.folder / "adapter") as part:
        save_adapter(module, part, base=base_reference(context, base))
        tokenizer.save(part)
    write_json(context.folder / "card.json", card)


def base_reference(context: StageContext, model: str) -> str:
    """How the adapter names the model below all deltas; folders of this run are named from the adapter's place."""
    location = Path(context.models.location(model))
    config = location / "adapter_config.json"
    base = read_json(config)["base_model_name_or_path"] if config.is_file() else str(location)
    for path in (location / base, Path(base)):
        if path.exists():
            inside = path.resolve().is_relative_to(context.run_folder.resolve())
            return os.path.relpath(path, context.folder / "adapter") if inside else str(path.resolve())
    return str(base)


KIND = StageKind(
    name="tune",
    options=TuneOptions,
    uses=uses,
    run=run,
    check=check,
    code=("adaptation", "training", "inference", "models", "tokenizers", "workflow.training"),
)
