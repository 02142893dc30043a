"""Claim files: those that ship with the library, and any other by its path."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from fourfold.errors import UserError, unknown_name
from fourfold.files import read_json, read_text
from fourfold.workflow.claims.cells import expand
from fourfold.workflow.claims.quantities import CURVES, GIVES, quantity
from fourfold.workflow.claims.spec import Axis, AxisValue, Claim, Selection, Size
from fourfold.workflow.toml import read_document

CATALOGUE = Path(__file__).parent / "catalogue"
SIZES: tuple[Size, ...] = ("quick", "full")
ENDS = ("first", "last")


def claim_names() -> list[str]:
    """The claims that ship with the library, in the order of the survey's sections."""
    return [claim.name for claim in shipped_claims()]


def shipped_claims() -> list[Claim]:
    """The same, read but not checked: a test does that, and checking imports what models are made of."""
    claims = [_parse(path) for path in CATALOGUE.glob("*.toml")]
    return sorted(claims, key=lambda claim: by_section(claim.section, claim.name))


def by_section(section: str, name: str) -> tuple[list[int], str]:
    """The survey's order."""
    return [int(number) for number in section.split(".")], name


def find_claim(reference: str) -> Path:
    """The file of a claim that ships with the library, or of one given by its path."""
    packaged = CATALOGUE / f"{reference}.toml"
    if packaged.is_file():
        return packaged
    if reference.endswith(".toml"):
        return Path(reference)
    raise unknown_name("claim", reference, [path.stem for path in CATALOGUE.glob("*.toml")])


def read_claim(path: Path) -> Claim:
    """Read and check a claim file; everything wrong with it is one sentence that names file and key."""
    claim = with_registries(_parse(path))
    try:
        _check(claim)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return claim


def with_registries(claim: Claim) -> Claim:
    """The claim with the values of its `every` axes written out, in the order of their registry."""
    if all(axis.every is None for axis in claim.axis):
        return claim
    from fourfold.models.ngram import smoothing_names

    def filled(axis: Axis) -> Axis:
        if axis.every is None:
            return axis
        names = [name for name in smoothing_names() if name not in axis.without]
        values = {name: AxisValue(model={axis.every: name}) for name in names}
        return axis.model_copy(update={"values": values, "every": None})

    return claim.model_copy(update={"axis": tuple(filled(axis) for axis in claim.axis)})


def _parse(path: Path) -> Claim:
    try:
        return Claim.model_validate(read_document(read_text(path), str(path)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError(f"'{key}': {reason[:1].lower()}{reason[1:]}", where=path) from None


def references() -> dict[str, dict[str, str]]:
    """The publications claims cite: key -> fields of its BibTeX entry, `entry` its kind."""
    found: dict[str, dict[str, str]] = read_json(CATALOGUE / "references.json")
    return found


def resolve(
    selection: Selection, claim: Claim, size: Size, besides: Selection | None = None
) -> dict[str, tuple[str, ...]]:
    """A selection with all its values as tuples; `first` and `last` replaced, `rest` by all but those of `besides`."""
    taken = {} if besides is None else resolve(besides, claim, size)
    found = {}
    for name, chosen in selection.items():
        axis = claim.axis_named(name)
        if axis is None:
            raise unknown_name("axis", name, [axis.name for axis in claim.axis])
        trained = claim.labels(axis, size)
        ends = {"first": trained[0], "last": trained[-1]}
        values = (chosen,) if isinstance(chosen, str) else chosen
        if values == ("rest",) and name in taken:
            values = tuple(label for label in measured_labels(claim, axis, size) if label not in taken[name])
        found[name] = tuple(ends.get(value, value) for value in values)
    return found


def measured_labels(claim: Claim, axis: Axis, size: Size) -> tuple[str, ...]:
    """The trained values of an axis, each followed by those derived from it."""
    labels: list[str] = []
    for trained in claim.labels(axis, size):
        labels += [trained, *(name for name, derived in axis.derived.items() if derived.of == trained)]
    return tuple(labels)


def _check(claim: Claim) -> None:
    """Refuse names that lead nowhere, before an hour of work has led to them."""
    for key in claim.cites:
        if key not in references():
            raise unknown_name("reference", key, references())
    if any(measurement.kind == "texts" for measurement in claim.measurement) and not claim.data.second:
        raise UserError("the measurement 'texts' is of two texts", where="data", expected="a second text")
    given = [name for measurement in claim.measurement for name in GIVES[measurement.kind]]
    for size in SIZES:
        _check_size(claim, size)
        expand(claim, size)
        if not any(expectation.has_say(size) for expectation in claim.expect):
            raise UserError("no prediction decides", where=size)
        for number, expectation in enumerate(claim.expect, 1):
            _check_quantities([expectation.measure], given, f"expect {number}")
            if expectation.measure in CURVES:
                raise UserError(f"'{expectation.measure}' is a curve, not a number", where=f"expect {number}")
            _check_selection(claim, size, expectation.than, f"expect {number}", expectation.better)
            for selection in (expectation.better, expectation.where, expectation.beyond):
                _check_selection(claim, size, selection, f"expect {number}")
    if claim.tuned is not None:
        _check_axis(claim, claim.tuned.axis, "tuned")
        _check_quantities([claim.tuned.by], given, "tuned")
    for figure in claim.figure:
        names = [figure.measure] if isinstance(figure.measure, str) else figure.measure
        _check_quantities(names, given, f"figure {figure.name}")
        for name in (figure.series, figure.x):
            if name is not None:
                _check_axis(claim, name, f"figure {figure.name}")
            if name in figure.where:
                raise UserError(f"axis '{name}' cannot be both drawn and fixed", where=f"figure {figure.name}")
        for size in SIZES:
            _check_selection(claim, size, figure.where, f"figure {figure.name}")


def _check_axis(claim: Claim, name: str, where: str) -> None:
    if claim.axis_named(name) is None:
        raise unknown_name("axis", name, [axis.name for axis in claim.axis], where=where)


def _check_size(claim: Claim, size: Size) -> None:
    for name, labels in claim.size(size).values.items():
        axis = claim.axis_named(name)
        if axis is None:
            raise unknown_name("axis", name, [axis.name for axis in claim.axis], where=size)
        for label in labels:
            if label not in axis.values:
                raise unknown_name(f"value of {name}", label, axis.values, where=size)


def _check_selection(
    claim: Claim, size: Size, selection: Selection, where: str, besides: Selection | None = None
) -> None:
    for name, labels in resolve(selection, claim, size, besides).items():
        axis = claim.axis_named(name)
        assert axis is not None  # resolve refuses it
        known = measured_labels(claim, axis, size)
        for label in labels:
            if label not in known:
                raise unknown_name(f"value of {name} at size {size}", label, [*known, *ENDS], where=where)


def _check_quantities(names: Iterable[str], given: list[str], where: str) -> None:
    for name in names:
        quantity(name)
        if name not in given:
            raise UserError(f"no [[measurement]] gives '{name}'", where=where, expected=", ".join(given), got=name)
