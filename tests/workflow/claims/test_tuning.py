"""The tuned axis: chosen by training loss alone, on numbers worked by hand and in a claim that is run."""

import pytest

from fourfold.errors import UserError
from fourfold.files import read_json
from fourfold.workflow.claims import read_claim, run_claim
from fourfold.workflow.claims.tuning import tuned_rows
from fourfold.workflow.claims.verdicts import Row, compare

RATES = """
[[axis]]
name = "lr"
label = "learning rate"
values = { low = { training = { lr = 1e-3 } }, high = { training = { lr = 1e-2 } } }
[tuned]
axis = "lr"
[[measurement]]"""


@pytest.fixture
def tuned_file(claim_file):
    text = claim_file.read_text("utf-8").replace("\n[[measurement]]", RATES, 1)
    text += '\n[[figure]]\nname = "rates"\nkind = "lines"\nmeasure = "loss"\nseries = "positions"\nx = "lr"\n'
    text += 'title = "Loss by rate"\ncaption = "All."\nwhere = { layers = "last" }\n'
    claim_file.write_text(text, "utf-8")
    return claim_file


def row(layers, rate, seed, train_loss, loss):
    labels = {"layers": layers, "positions": "RoPE", "lr": rate}
    return Row(labels=labels, seed=seed, numbers={"train_loss": train_loss, "loss": loss})


def test_the_lowest_mean_training_loss_is_taken_whatever_held_out_text_says(tuned_file):
    claim = read_claim(tuned_file)
    rows = [
        *(row("1", "low", seed, 3.0, 9.0) for seed in (1, 2, 3)),  # worse on held-out text, still taken
        *(row("1", "high", seed, loss, 1.0) for seed, loss in ((1, 2.0), (2, 4.0), (3, 3.3))),  # once the best of all
        *(row("2", "low", seed, 5.0, 8.0) for seed in (1, 2, 3)),
        *(row("2", "high", seed, 4.0, 6.0 + seed) for seed in (1, 2, 3)),
    ]
    chosen = tuned_rows(claim, rows)
    assert {(row.labels["layers"], row.labels["lr"]) for row in chosen} == {("1", "low"), ("2", "high")}
    (comparison,) = compare(claim, "quick", chosen)
    assert comparison.advantage == pytest.approx(9.0 - 8.0)  # pairs of one seed though their rates differ
    assert comparison.n == 3


def test_a_claim_without_a_tuned_axis_keeps_all(claim_file):
    rows = [row("1", "low", 1, 3.0, 1.0), row("1", "high", 1, 2.0, 1.0)]
    assert tuned_rows(read_claim(claim_file), rows) == rows


def test_a_tuned_claim_runs_and_its_page_says_what_was_compared(tuned_file, tmp_path):
    run_claim(tuned_file, "quick", tmp_path / "out", "again")
    results = read_json(tmp_path / "out" / "results.json")
    compared = [entry for entry in results["summary"] if entry["compared"]]
    assert len(results["summary"]) == 2 * len(compared) == 8  # two depths, two positions, two rates
    page = (tmp_path / "out" / "page.md").read_text("utf-8")
    assert "The learning rate is not compared" in page
    assert "peak learning rate as varied" in page
    assert (tmp_path / "out" / "figures" / "rates.svg").is_file()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[tuned]\naxis = "lr"', '[tuned]\naxis = "rate"', "tuned: unknown axis 'rate'"),
        ('where = { layers = "last" }', 'where = { lr = "low" }', "figure rates: .* both"),
    ],
)
def test_senseless_tuning_is_refused(tuned_file, old, new, message):
    tuned_file.write_text(tuned_file.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(UserError, match=message):
        read_claim(tuned_file)
