"""Claim files: those that ship are sound, and a wrong one is refused with a sentence."""

import re
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.models import parameter_count
from fourfold.models.ngram import SMOOTHINGS
from fourfold.workflow.claims import claim_names, find_claim, index_page, read_claim
from fourfold.workflow.claims.bundle import bibtex
from fourfold.workflow.claims.catalogue import measured_labels, references, resolve
from fourfold.workflow.claims.cells import expand
from fourfold.workflow.claims.counting import counting_options
from fourfold.workflow.claims.quantities import CURVES, GIVES, QUANTITIES

SHIPPED = claim_names()


def test_the_survey_has_its_claims():
    assert {"norm-place-depth", "activations", "positions-extrapolation", "architectures-one-budget"} <= set(SHIPPED)


@pytest.mark.parametrize("size", ["quick", "full"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_cell_of_a_shipped_claim_can_be_built(name, size):
    claim = read_claim(find_claim(name))
    assert claim.name == name
    cells = expand(claim, size)
    for cell in cells:
        if cell.counted:
            assert counting_options(cell)["smoothing"] in SMOOTHINGS
    counts = {cell.variant: parameter_count(cell.model, 1024) for cell in cells if not cell.counted}
    if claim.equal.parameters is not None:
        assert max(counts.values()) <= (1 + claim.equal.parameters) * min(counts.values())
    assert any(expectation.decides for expectation in claim.expect)
    assert claim.limits


def test_every_quantity_and_reference_is_described():
    given = {name for names in GIVES.values() for name in names}
    assert given == set(QUANTITIES) | set(CURVES)
    for fields in references().values():
        assert {"entry", "author", "title", "year"} <= set(fields)
    assert bibtex(["su2021roformer"]).startswith("@article{su2021roformer,\n  author = {Su, Jianlin and")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('cites = ["zhao2023survey"]', 'cites = ["zhao2023"]', "unknown reference 'zhao2023'. Did you mean 'zhao2023"),
        ('better = { layers = "last" }', 'better = { layer = "last" }', "unknown axis 'layer'. Did you mean 'layers'?"),
        ('better = { layers = "last" }', 'better = { layers = "9" }', "expect 1: unknown value of layers"),
        ('measure = "loss"\nbetter', 'measure = "los"\nbetter', "unknown quantity 'los'"),
        ('measure = "loss"\nbetter', 'measure = "loss_by_position"\nbetter', "a curve, not a number"),
        ('kind = "held_out"', 'kind = "held"', "'measurement.0.kind'"),
        ('values = { layers = ["1", "2"] }', 'values = { layers = ["7"] }', "quick: unknown value of layers '7'"),
        ("steps = 3", "steps = 3\nseeds = 2", "'quick.seeds': input should be greater than or equal to 3"),
        ('of = "RoPE"', 'of = "ALiBi"', "needs a name of its own and the trained value it is of"),
        ("steps = 3", "steps = 3\ntraining = { context = 2 }", "quick: training 'context': input should be greater"),
        ("{ layers = 2 } }", "{ layers = 2 }, training = { contxt = 32 } }", "unknown key of training 'contxt'"),
        ('series = "layers"', 'series = "depth"', "figure loss: unknown axis 'depth'"),
        ("section =", "sections =", "'section'"),
    ],
)
def test_a_wrong_claim_is_refused(claim_text, tmp_path, old, new, sentence):
    assert old in claim_text
    path = tmp_path / "wrong.toml"
    path.write_text(claim_text.replace(old, new), "utf-8")
    with pytest.raises(UserError) as raised:
        read_claim(path)
    assert sentence.lower() in str(raised.value).lower()
    assert str(path) in str(raised.value)


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'activations'"):
        find_claim("activation")


def test_the_index_among_the_docs_is_that_of_its_runs():
    docs = Path(__file__).resolve().parents[3] / "docs" / "claims"
    assert (docs / "README.md").read_text("utf-8") == index_page(docs)
    for results in docs.glob("*/results.json"):
        page = docs / f"{results.parent.name}.md"
        pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8"))
        assert pictures
        assert all((docs / picture).is_file() for picture in pictures)


def test_cells_are_all_combinations_seed_by_seed(claim_file):
    claim = read_claim(claim_file)
    quick, full = expand(claim, "quick"), expand(claim, "full")
    assert [cell.name for cell in quick] == [f"{n}_rope.{seed}" for seed in (1, 2, 3) for n in (1, 2)]
    assert len(full) == 9
    assert {cell.steps for cell in full} == {4}
    assert quick[1].model["layers"] == 2
    assert quick[1].derived["RoPE, YaRN"][0] == "positions"


def test_ends_and_derived_values_are_found(claim_file):
    claim = read_claim(claim_file)
    assert resolve({"layers": "last"}, claim, "quick") == {"layers": ("2",)}
    assert resolve({"layers": ("first", "last")}, claim, "full") == {"layers": ("1", "3")}
    assert measured_labels(claim, claim.axis[1], "full") == ("RoPE", "RoPE, YaRN")
