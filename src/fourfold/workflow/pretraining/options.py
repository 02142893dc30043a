"""What `[pretrain.…]` may say: which model, on which tokens, for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.errors import UserError, unknown_name
from fourfold.workflow.kinds import Options, Use, need
from fourfold.workflow.pretraining.parts import chosen_objective, model_form
from fourfold.workflow.training import (
    Budget,
    CheckpointOptions,
    Compile,
    OptimizerOptions,
    ParallelOptions,
    check_plan,
    chosen_plan,
    require_service,
)

if TYPE_CHECKING:
    from fourfold.models import Config


class CurveOptions(Options):
    """The held-out curve drawn while training."""

    points: int = Field(default=8, ge=1, le=100)
    """Measurements, evenly spread on a logarithmic axis of steps."""
    bytes: int | None = Field(default=None, ge=256)
    """Bytes of each sample that are measured; without it, the whole sample."""
    noise_batches: int | None = Field(default=None, ge=2, le=1000)
    """Batches whose gradients tell the gradient noise scale at each point: how many tokens a batch may have before
    larger ones pay little (McCandlish et al. 2018). Each costs about a step."""


class RampOptions(Options):
    """A batch that grows to its full size while the training is young."""

    start: int = Field(ge=1)
    """Rows of the first step."""
    steps: int = Field(ge=1)
    """Steps until `batch_size` is reached."""


class PretrainOptions(Options):
    """Which model, on which tokens, for how long."""

    model: dict[str, Any] | str
    """`family` (ngram; lstm, gru, rnn, feed-forward; elmo; llama, gpt2; bert; bart, t5) and the sizes of that family;
    or a model to go on from: smollm2, a folder, hf:org/name, another pretrain stage."""
    objective: dict[str, Any] | None = None
    """`kind` (causal, prefix, masked, both-directions, span-corruption, denoising, mixture, infilling) and its
    options; without it the next token."""
    tokenizer: str | None = None
    """The tokenizer; its shards are read when it was made from the same corpus. A model that is gone on from has its
    own."""
    new_tokens: int = Field(default=0, ge=0, le=100_000)
    """Tokens added to the vocabulary of a model that is gone on from, learnt from the corpus."""
    replay: str | None = None
    """A corpus of other text that is mixed in against forgetting, and measured too."""
    replay_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows that are replayed, when `replay` is given."""
    corpus: str
    """The text to learn from and to be measured on."""
    label: str | None = None
    """What figures call the model."""
    batch_size: int = Field(default=8, ge=1)
    """Rows of a step."""
    ramp: RampOptions | None = None
    """Fewer rows in the first steps."""
    context: int | None = Field(default=None, ge=8)
    """Tokens of a row; without it the model's own context, or 512."""
    carry: bool = False
    """Recurrent families: each row goes on in the text where it ended a step before, with its memory, while gradients
    reach back one row (truncated back-propagation through time)."""
    optimizer: OptimizerOptions = OptimizerOptions()
    """The optimizer of the families trained by gradient."""
    budget: Budget | None = None
    """How long to train; counting needs none."""
    checkpoint: CheckpointOptions = CheckpointOptions()
    """How much work a crash may cost."""
    curve: CurveOptions = CurveOptions()
    """The held-out curve."""
    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = Field(default=(), exclude=True)
    """Experiment trackers to tell, beside metrics.jsonl and TensorBoard's files in the stage folder; a run may go on
    with others, or without."""
    parallel: ParallelOptions | None = Field(default=None, exclude=True)
    """How torchrun's processes share the training; without it each reads its part of every batch."""
    recompute: bool = False
    """Keep only each layer's input for the backward pass: less memory, a third more time."""
    compile: Compile = "auto"
    """Compile the layers of a transformer: shorter steps after a minute or so of compiling, which needs a C++ compiler.
    `auto`: where training takes five minutes or more."""

    @property
    def row_tokens(self) -> int:
        return self.context or (512 if isinstance(self.model, str) else int(self.model.get("context") or 512))

    @property
    def table(self) -> dict[str, Any]:
        """The `model` table; empty where a model is gone on from."""
        return {} if isinstance(self.model, str) else self.model


def uses(options: PretrainOptions) -> list[Use]:
    used = [Use("corpus", options.corpus, ("corpus",))]
    if options.tokenizer is not None:
        used.append(Use("tokenizer", options.tokenizer, ("tokenizer",)))
    if isinstance(options.model, str):
        used.append(Use("model", options.model, ("pretrain",), outside=True))
    if options.replay is not None:
        used.append(Use("replay", options.replay, ("corpus",)))
    return used


def check(options: PretrainOptions) -> None:
    for service in options.trackers:
        require_service(service)
    _check_batches(options)
    if isinstance(options.model, str):
        _check_continuing(options)
        return
    if options.new_tokens:
        raise UserError("'new_tokens' is for a model that is gone on from", got="a new one", where="new_tokens")
    need(options.tokenizer, "tokenizer", "a new model")
    family = options.model.get("family")
    need(family, "family", "model")
    if family == "ngram":
        if options.objective is not None:
            raise UserError("an n-gram model is counted: it has no objective", where="objective")
        if options.parallel is not None:
            raise UserError("an n-gram model is counted in one process", where="parallel")
        unknown = [key for key in options.model if key not in ("family", "order", "smoothing")]
        if unknown:
            raise unknown_name("key", unknown[0], ("family", "order", "smoothing"), where="model")
        order = options.model.get("order")
        if not isinstance(order, int) or not 1 <= order <= 10:
            raise UserError("'order' is out of range", where="model", expected="1 to 10", got=order)
        return
    from fourfold.models import FAMILIES, Recurrent, model_config, parameter_count

    if family not in FAMILIES:
        raise unknown_name("model family", str(family), [*FAMILIES, "ngram"])
    parameter_count(options.model, 512)
    config = model_config(options.model, 512)
    if not isinstance(config, Recurrent) and options.row_tokens > config.context:
        raise UserError(
            "'context' is longer than the model's", expected=f"at most {config.context}", got=options.context
        )
    check_objective(options, config)
    if options.carry:
        _check_carry(options, config)
    need(options.budget, "budget", f"family '{family}'")
    check_plan(options.parallel, config, options.batch_size, options.row_tokens, options.optimizer)


def _check_batches(options: PretrainOptions) -> None:
    """Refuse a ramp that does not rise, or whose steps a budget in seconds cannot foresee."""
    ramp = options.ramp
    if ramp is not None and ramp.start >= options.batch_size:
        raise UserError(
            "the ramp does not rise", where="ramp", expected=f"a start below {options.batch_size}, the batch_size",
            got=ramp.start,
        )  # fmt: skip
    if ramp is not None and options.budget is not None and options.budget.seconds is not None:
        raise UserError("a ramp needs a budget in steps or tokens", where="budget", got="seconds")


def _check_carry(options: PretrainOptions, config: Config) -> None:
    """Refuse a memory where there is none, and rows that do not go on one after the other."""
    from fourfold.models import RecurrentConfig

    if not isinstance(config, RecurrentConfig) or config.cell == "feed-forward":
        raise UserError(
            "only a recurrent network has a memory to carry", where="carry", expected="family lstm, gru or rnn",
            got=options.table["family"],
        )  # fmt: skip
    others = {"ramp": options.ramp, "replay": options.replay, "objective": options.objective}
    for name, value in others.items():
        if value is not None:
            raise UserError(f"rows that carry their memory cannot have '{name}'", where=name, advice="Leave one out.")
    if (processes := chosen_plan(options.parallel).world) > 1:
        raise UserError(
            "rows that carry their memory are trained by one process", where="carry", got=f"{processes} processes",
            advice="Start it without torchrun, or leave carry out.",
        )  # fmt: skip


def _check_continuing(options: PretrainOptions) -> None:
    if options.carry:
        raise UserError("'carry' is for a new recurrent model", where="carry", got=f"model '{options.model}'")
    if options.tokenizer is not None:
        raise UserError(
            "a model that is gone on from keeps its tokenizer", where="tokenizer", got=options.tokenizer,
            advice="Leave it out; new_tokens = 500 adds tokens of the corpus.",
        )  # fmt: skip
    if options.objective is not None and options.objective.get("kind") != "causal":
        raise UserError(
            "a model is gone on from by predicting the next token", where="objective",
            got=options.objective.get("kind"),
        )  # fmt: skip
    need(options.budget, "budget", f"model '{options.model}'")


def check_objective(options: PretrainOptions, config: Config) -> None:
    """Refuse an objective that cannot train a model of that configuration."""
    objective, form = chosen_objective(options), model_form(config)
    if form not in objective.forms:
        what = "predicting the next token" if options.objective is None else f"'{options.objective['kind']}'"
        raise UserError(
            f"{what} does not fit a model that is {form}",
            where="objective",
            expected=f"a model that is {' or '.join(objective.forms)}",
            advice="bert takes masked, elmo both-directions, bart and t5 denoising, span-corruption, mixture, prefix.",
        )
