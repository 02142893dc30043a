from __future__ import annotations

import numpy as np
import pytest

from fourfold.errors import UserError
from fourfold.models import WordVectors
from fourfold.models.vectors import StaticVectors, plane


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`:DeprecationWarning")  # gensim calls its own
def test_questions_have_gensims_answers(made: StaticVectors) -> None:
    gensim = pytest.importorskip("gensim.models")
    theirs = gensim.KeyedVectors(made.size)
    theirs.add_vectors(made.words, made.matrix)
    assert isinstance(made, WordVectors)
    np.testing.assert_array_equal(made.vector("学").numpy(), theirs["学"])
    assert made.similarity("w1", "w2") == pytest.approx(theirs.similarity("w1", "w2"), abs=1e-6)
    pairs = [
        (made.nearest("w3", 7), theirs.most_similar("w3", topn=7)),
        (made.analogy(["w1", "w2"], ["w3"], 6), theirs.most_similar(["w1", "w2"], ["w3"], topn=6)),
        (
            made.analogy(["w1", "w2"], ["w3"], 6, "multiply"),
            theirs.most_similar_cosmul(["w1", "w2"], ["w3"], topn=6),
        ),
    ]
    for number, (ours, expected) in enumerate(pairs):
        assert [word for word, _ in ours] == [word for word, _ in expected]
        if number != 1:  # gensim means the words of an analogy and does not say at which length
            np.testing.assert_allclose(
                [s for _, s in ours], [s for _, s in expected], rtol=5e-3
            )  # their epsilon is smaller


def test_asking_for_all_and_for_unknown_words(made: StaticVectors) -> None:
    assert len(made.nearest("w1", 1000)) == len(made) - 1
    assert made.nearest("w1", 1) == made.nearest("w1", 5)[:1]
    with pytest.raises(UserError, match=r"unknown word 'W7'\. Did you mean 'w7'"):
        made.nearest("W7")
    with pytest.raises(UserError, match="unknown word 'zebra'"):
        made.vector("zebra")
    with pytest.raises(UserError, match="positive"):
        made.analogy([], ["w1"])
    with pytest.raises(UserError, match="at least 1"):
        made.nearest("w1", 0)


def test_the_plane_holds_what_principal_components_hold() -> None:
    random = np.random.default_rng(0)
    spread = random.normal(0, 1, (50, 6)).astype(np.float32) * [3, 2, 0.1, 0.1, 0.1, 0.1] + 1
    vectors = StaticVectors([f"w{number}" for number in range(50)], spread.astype(np.float32))
    points, shares = plane(vectors, vectors.words)
    unit = vectors.unit.astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(unit.T))
    expected = (unit - unit.mean(axis=0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum(), rtol=1e-6)
    with pytest.raises(UserError, match="too few words"):
        plane(vectors, vectors.words[:2])
