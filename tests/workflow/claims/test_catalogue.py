"""Claim files: those that ship are sound, and a wrong one is refused with a sentence."""

import re
from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.files import hash_file, read_json
from fourfold.models import ngram, parameter_count
from fourfold.models.ngram import smoothing_names
from fourfold.workflow.claims import CHAPTERS, claim_index, claim_names, find_claim, index_page, read_claim
from fourfold.workflow.claims.bundle import bibtex
from fourfold.workflow.claims.catalogue import _parse, measured_labels, references, resolve, with_registries
from fourfold.workflow.claims.cells import expand
from fourfold.workflow.claims.counting import counting_options
from fourfold.workflow.claims.listing import REGISTERED
from fourfold.workflow.claims.quantities import CURVES, GIVES, QUANTITIES
from fourfold.workflow.claims.register import registered

SHIPPED = claim_names()


def test_the_survey_has_its_claims():
    decided_here = {
        "ngram-sparsity", "smoothing-merit", "transformer-against-counting", "norm-place-depth",
        "positions-extrapolation", "duplicated-data", "letters-hide-ability", "forgetting-replay",
    }  # fmt: skip
    assert decided_here | {"activations", "architectures-one-budget"} <= set(SHIPPED)


@pytest.mark.parametrize("size", ["quick", "full"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_cell_of_a_shipped_claim_can_be_built(name, size):
    claim = read_claim(find_claim(name))
    assert claim.name == name
    cells = expand(claim, size) if claim.questions is None and claim.labelled is None else []
    for cell in cells:
        if cell.counted:
            assert counting_options(cell)["smoothing"] in smoothing_names()
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
        ('"1" = { model', '"1" = { after = "2", model', "comes after '2', which is no earlier value"),
        ('kind = "held_out"', 'kind = "texts"', "of two texts, expected a second text"),
        ("context = 16", "context = 16\nparts = [{ share = 0.5 }]", "the shares of the parts must make 1"),
        ('layers = "first" }', 'layers = "first" }\ndecides = "full"', "quick: no prediction decides"),
        ('label = "layers"', 'label = "layers"\nevery = "smoothing"', "give either values or every"),
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
    assert (docs / "README.zh.md").read_text("utf-8") == index_page(docs, "zh")
    assert read_json(REGISTERED) == registered(docs)
    for results in docs.glob("*/results.json"):
        page = docs / f"{results.parent.name}.md"
        pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8"))
        assert pictures
        assert all((docs / picture).is_file() for picture in pictures)
        manifest = read_json(results.parent / "manifest.json")
        digest = manifest.get("claim_file_sha256")  # runs before 2026-11-27 do not have it
        assert digest is None or digest == hash_file(find_claim(results.parent.name)), "the rule changed after the run"


def test_the_index_is_in_the_surveys_order_and_says_how_to_check():
    entries = claim_index()
    assert [entry.name for entry in entries] == SHIPPED
    numbers = [[int(number) for number in entry.section.split(".")] for entry in entries]
    assert numbers == sorted(numbers)
    for entry in entries:
        assert entry.chapter in CHAPTERS
        assert entry.references[0] == "Zhao et al. 2023"
        assert entry.command == f"fourfold claim run {entry.name}"
        assert ("--model" in entry.models) == (entry.name == "letters-hide-ability")


def test_an_axis_takes_what_its_registry_has(monkeypatch):
    path = find_claim("smoothing-merit")
    claim = read_claim(path)
    assert tuple(claim.axis[0].values) == tuple(name for name in smoothing_names() if name != "maximum-likelihood")
    monkeypatch.setattr(ngram, "smoothing_names", lambda: ["another", "maximum-likelihood"])
    assert with_registries(_parse(path)).axis[0].values["another"].model == {"smoothing": "another"}


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
