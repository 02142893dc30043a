"""What spans share is read once, and nothing else changes."""

from __future__ import annotations

import random

import pytest
import torch

from fourfold.adaptation.quantization import QuantizeOptions, quantize
from fourfold.inference import LanguageModel, Span, score_shared, score_spans
from fourfold.inference.branches import LEAST, grow
from fourfold.kernels import kernels
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

CPU = torch.device("cpu")


def paths(branches, before=()):
    """Every row with the ids on its way from the root."""
    for branch in branches:
        way = (*before, *branch.ids[branch.start : branch.end])
        below = {row for part in branch.then for row in part.rows}
        yield from ((row, way) for row in branch.rows if row not in below)
        yield from paths(branch.then, way)


def tokens(branches):
    return sum(branch.size + tokens(branch.then) for branch in branches)


def small(family="llama", vocabulary=50):
    sizes = {"layers": 2, "hidden_size": 32, "heads": 4, "context": 128}
    return build_model({"family": family, **sizes}, vocabulary, seed=1).eval()


def some_rows(seed):
    draw = random.Random(seed)

    def ids(*sizes):
        return [draw.randrange(5) for _ in range(draw.choice(sizes))]

    rows = []
    for _ in range(4):
        shots = ids(1, 20, 60)
        for _ in range(4):
            question = shots + ids(1, 9, 30)
            rows += [question + ids(1, 1, 3, 12) for _ in range(4)]
    draw.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_a_path(seed):
    rows = some_rows(seed)
    grown = grow(rows)
    assert sorted(paths(grown)) == sorted((number, tuple(row)) for number, row in enumerate(rows))
    assert tokens(grown) < sum(map(len, rows)) / 2


def test_what_saves_little_is_not_shared():
    assert sorted(branch.rows for branch in grow([[1, 2, 3], [1, 2, 4]])) == [[0], [1]]
    long = list(range(40))
    (root,) = grow([[*long, 1], [*long, 2], long])
    assert (root.size, sorted(root.rows)) == (40, [0, 1, 2])
    assert sorted(part.rows for part in root.then) == [[0], [1]]
    alike = grow([long, long])
    assert [(branch.size, sorted(branch.rows)) for branch in alike] == [(40, [0, 1])]
    assert len(grow([long[: LEAST - 1], [*long[: LEAST - 1], 99]])) == 2


@pytest.mark.parametrize("family", ["llama", "gpt2", "lstm"])
def test_scores_are_those_of_lone_spans(family):
    module = small(family, 6)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3)
    rows = some_rows(3)
    draw = random.Random(0)
    spans = [Span(ids=row, start=draw.choice([1, len(row) - 1])) for row in rows]
    alone = [score_spans(module, [span], CPU, want_greedy=True)[0] for span in spans]
    for mine, other in zip(score_shared(module, spans, CPU), alone, strict=True):
        assert mine.log_probs == pytest.approx(other.log_probs, abs=2e-5)
        assert mine.greedy == other.greedy


@pytest.mark.parametrize("family", ["llama", "gpt2"])  # gpt2 has no position beyond its context
def test_rows_filled_up_stay_within_the_context(family):
    module = small(family)
    early, late = [1] * 20, [2] * 120
    rows = [[*early, 3, *[4] * 90], [*early, 5, *[6] * 90], [*late, 7, 8], [*late, 9, 8], [*late, 9, 9, 9, 9, 9, 9, 9]]
    spans = [Span(ids=row, start=21) for row in rows]
    alone = [score_spans(module, [span], CPU, want_greedy=True)[0] for span in spans]
    for mine, other in zip(score_shared(module, spans, CPU), alone, strict=True):
        assert mine.log_probs == pytest.approx(other.log_probs, abs=2e-5)


def test_each_token_is_read_once():
    module = small()
    read = []
    hidden = module.hidden

    def counted(step, state=None):
        read.append(step.ids.numel())
        return hidden(step, state)

    module.hidden = counted
    shots = list(range(40))
    spans = [Span(ids=[*shots, question, 7, letter], start=42) for question in (41, 42) for letter in (1, 2, 3, 4)]
    found = score_shared(module, spans, CPU)
    assert sum(read) == 40 + 2 * 2
    assert len({scored.log_probs[0] for scored in found}) == 8


def test_prefix_models_and_sources_are_read_alone():
    module = small()
    read = []
    hidden = module.hidden

    def counted(step, state=None):
        read.append(state)
        return hidden(step, state)

    module.hidden = counted
    ids = list(range(40))
    score_shared(module, [Span(ids=[*ids, last, 3], start=40, prefix=40) for last in (1, 2)], CPU)
    assert read == [None]


@pytest.mark.parametrize("way", ["log_likelihood", "score"])
def test_packed_weights_score_a_text_alike_alone_and_in_company(way: str) -> None:
    """Bit by bit, with shared beginnings and without: rounded inputs make of a last bit a hundredth of a nat."""
    module = build_model(
        {"family": "llama", "layers": 2, "hidden_size": 64, "heads": 4, "context": 512}, 258, seed=2
    ).eval()
    list(quantize(module, QuantizeOptions(method="absmax", bits=8)))
    if not module.batch_invariant:
        pytest.skip(kernels().why)
    model = LanguageModel(module, byte_tokenizer())
    stem = "What all of these have in common is a beginning of many bytes; "
    pairs = [
        (stem + "a", " b"),
        (stem + "a", " cde"),
        (stem + "xyz", " b"),
        ("quite another", " text"),
        ("x", "y" * 200),
    ]
    if way == "log_likelihood":
        together = [one.log_prob for one in model.log_likelihood(pairs)]
        alone = [model.log_likelihood([pair])[0].log_prob for pair in pairs]
    else:
        together = [one.log_probs for one in model.score(["".join(pair) for pair in pairs])]
        alone = [model.score(["".join(pair)])[0].log_probs for pair in pairs]
    assert together == alone
