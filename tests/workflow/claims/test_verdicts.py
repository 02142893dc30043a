"""The rule, on numbers worked by hand."""

import pytest

from fourfold.workflow.claims import read_claim
from fourfold.workflow.claims.verdicts import Row, compare, sentence_of, verdict_of

RULE = """
[[expect]]
says = "{says}"
measure = "{measure}"
better = {{ layers = {better} }}
than = {{ layers = {than} }}
where = {{ positions = "RoPE" }}
"""


@pytest.fixture
def rule(claim_text, tmp_path):
    """The tiny claim with other expectations."""

    def make(*expectations):
        start, _, rest = claim_text.replace('values = { layers = ["1", "2"] }', "").partition("[[expect]]")
        text = start + "\n".join(expectations) + "\n[[figure]]" + rest.partition("[[figure]]")[2]
        path = tmp_path / "rule.toml"
        path.write_text(text, "utf-8")
        return read_claim(path)

    return make


def expectation(measure="loss", better='"2"', than='"1"', more=""):
    return RULE.format(says="it is better", measure=measure, better=better, than=than) + more + "\n"


def rows(measure, **values):
    """`values` by layers, one number a seed."""
    return [
        Row(labels={"layers": layers.strip("_"), "positions": "RoPE"}, seed=seed, numbers={measure: number})
        for layers, numbers in values.items()
        for seed, number in enumerate(numbers, 1)
    ]


def test_paired_advantages_with_students_interval(rule):
    claim = rule(expectation())
    (found,) = compare(claim, "quick", rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7)))
    # Advantages 0.2, 0.3, 0.2: mean 0.2333, deviation 0.05774, so 4.3027 * 0.05774 / sqrt(3) = 0.1434 around it.
    assert found.advantage == pytest.approx(0.23333, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((0.0899, 0.3768), abs=1e-4)
    assert found.detectable == pytest.approx((4.3027 + 1.0607) * 0.03333, abs=1e-3)
    assert (found.outcome, found.n, verdict_of([found])) == ("holds", 3, "agrees")
    assert "The one prediction holds" in sentence_of([found])


def test_the_other_way_round_it_fails_and_noise_stays_open(rule):
    worse = rows("loss", _1=(4.8, 5.0, 4.7), _2=(5.0, 5.3, 4.9))
    assert verdict_of(compare(rule(expectation()), "quick", worse)) == "disagrees"
    noise = rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.5, 4.7))
    assert verdict_of(compare(rule(expectation()), "quick", noise)) == "cannot tell at this size"


def test_an_advantage_that_must_be_larger(rule):
    numbers = rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7))
    for by, outcome in ((0.05, "holds"), (0.2, "open"), (0.4, "fails")):
        claim = rule(expectation(more=f"by = {by}"))
        assert compare(claim, "quick", numbers)[0].outcome == outcome


def test_contradicting_one_of_many_needs_more_than_contradicting_one(rule):
    numbers = rows("loss", _1=(5.0, 5.0, 5.0), _2=(5.1, 5.13, 5.07))
    alone = compare(rule(expectation()), "quick", numbers)
    many = compare(rule(*[expectation()] * 6), "quick", numbers)
    assert (alone[0].outcome, many[0].outcome) == ("fails", "open")


def test_what_has_no_say_is_reported_only(rule):
    claim = rule(expectation(), expectation(better='"1"', than='"2"', more="decides = false"))
    found = compare(claim, "quick", rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7)))
    assert [item.outcome for item in found] == ["holds", "fails"]
    assert verdict_of(found) == "agrees"


def test_groups_are_averaged_or_met_one_by_one(rule):
    numbers = rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7), _3=(6.0, 6.2, 5.9))
    together = compare(rule(expectation(than='["1", "3"]')), "full", numbers)
    assert together[0].advantage == pytest.approx(((5.5 - 4.8) + (5.75 - 5.0) + (5.4 - 4.7)) / 3)
    apart = compare(rule(expectation(than='["1", "3"]', more="each = true")), "full", numbers)
    assert [item.than for item in apart] == ["1", "3"]


def test_more_is_better_where_the_quantity_says_so(rule):
    numbers = rows("choice", _1=(0.3, 0.32, 0.31), _2=(0.5, 0.53, 0.51))
    assert compare(rule(expectation("choice")), "quick", numbers)[0].outcome == "holds"


def test_shares_are_compared_run_by_run(rule):
    claim = rule(expectation("failed"))
    three = compare(claim, "quick", rows("failed", _1=(1, 1, 1), _2=(0, 0, 0)))[0]
    # Three of three against none of three: McNemar's exact test cannot be below 2 / 2^3.
    assert (three.advantage, three.n, three.outcome, three.detectable) == (1.0, 3, "open", 1.0)
    six = compare(claim, "quick", rows("failed", _1=(1,) * 6, _2=(0,) * 6))[0]
    assert (six.outcome, six.n) == ("holds", 6)
    equal = compare(claim, "quick", rows("failed", _1=(0, 0, 0), _2=(0, 0, 0)))[0]
    assert (equal.advantage, equal.outcome) == (0.0, "open")


def test_the_rest_are_all_but_the_better_ones(rule):
    claim = rule(expectation(better='"2"', than='"rest"', more="each = true"))
    numbers = rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7), _3=(6.0, 6.2, 5.9))
    assert [item.than for item in compare(claim, "full", numbers)] == ["1", "3"]


def placed(positions, **values):
    return [Row(labels={**row.labels, "positions": positions}, seed=row.seed, numbers=row.numbers)
            for row in rows("loss", **values)]  # fmt: skip


def test_an_advantage_beyond_that_elsewhere(rule):
    claim = rule(expectation(more='beyond = { positions = "RoPE, YaRN" }'))
    numbers = [
        *placed("RoPE", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7)),
        *placed("RoPE, YaRN", _1=(5.0, 5.2, 4.9), _2=(4.9, 5.1, 4.8)),
    ]
    (found,) = compare(claim, "quick", numbers)
    # 0.2, 0.3, 0.2 here and 0.1 there: by hand 0.1, 0.2, 0.1 more.
    assert found.advantage == pytest.approx(0.13333, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((-0.0101, 0.2768), abs=1e-4)
    assert found.outcome == "open"


def test_a_prediction_may_decide_at_full_size_only(rule):
    claim = rule(expectation(), expectation(better='"1"', than='"2"', more='decides = "full"'))
    numbers = rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.0, 4.7))
    quick, full = (compare(claim, size, numbers) for size in ("quick", "full"))
    assert [item.decides for item in quick] == [True, False]
    assert verdict_of(quick) == "cannot tell at this size"
    assert sentence_of(quick).startswith("1 of 1 predictions holds, 1 needs --full to be decided.")
    assert verdict_of(full) == "disagrees"


def test_what_cannot_be_told_says_what_could_have_been(rule):
    found = compare(rule(expectation()), "quick", rows("loss", _1=(5.0, 5.3, 4.9), _2=(4.8, 5.5, 4.7)))
    assert f"would show {found[0].detectable:.3f} four times out of five" in sentence_of(found)
