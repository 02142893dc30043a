from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fourfold.errors import UserError
from fourfold.models.vectors import (
    Method,
    StaticVectors,
    answer_analogies,
    compare_similarities,
    is_analogies,
    spearman,
)


@pytest.fixture
def grid(tmp_path: Path) -> tuple[StaticVectors, Path]:
    """Words on a noisy grid, so that some analogies hold and some do not, with 200 questions in two sections."""
    random = np.random.default_rng(5)
    rows, columns = random.normal(0, 1, (2, 8, 10))
    words = [f"W{a}x{b}" if a < 4 else f"w{a}x{b}" for a in range(8) for b in range(8)]
    matrix = np.array([rows[a] + columns[b] for a in range(8) for b in range(8)]) + random.normal(0, 0.55, (64, 10))
    lines = []
    for section in ("first", "gram2-second"):
        lines.append(f": {section}")
        for _ in range(100):
            (a, c), (b, d) = random.choice(8, 2, replace=False), random.choice(8, 2, replace=False)
            lines.append(f"w{a}x{b} w{a}x{d} w{c}x{b} {'none' if random.random() < 0.1 else f'w{c}x{d}'}")
    path = tmp_path / "questions.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return StaticVectors(words, matrix.astype(np.float32)), path


def test_analogies_as_gensim_counts_them(grid: tuple[StaticVectors, Path]) -> None:
    gensim = pytest.importorskip("gensim.models")
    vectors, path = grid
    theirs = gensim.KeyedVectors(vectors.size)
    theirs.add_vectors(vectors.words, vectors.matrix)
    assert is_analogies(path)
    _, sections = theirs.evaluate_word_analogies(str(path))
    expected = {s["section"]: (len(s["correct"]), len(s["correct"]) + len(s["incorrect"])) for s in sections}
    results = answer_analogies(vectors, path)
    assert [(r.right, r.asked) for r in results[:-1]] == list(expected.values())[:-1]
    assert 20 < results[-1].right < results[-1].asked < results[-1].questions == 200
    strict = answer_analogies(vectors, path, fold_case=False)[-1]
    assert strict.asked < results[-1].asked
    few = answer_analogies(vectors, path, limit=20)[-1]
    assert few.asked < strict.asked


@pytest.mark.parametrize("method", ["add", "multiply"])
def test_many_questions_at_once_as_one_by_one(grid: tuple[StaticVectors, Path], method: Method) -> None:
    vectors, _ = grid
    questions = np.random.default_rng(0).integers(0, 64, (30, 3))
    words = [[vectors.words[row] for row in question] for question in questions]
    expected = [vectors.analogy([b, c], [a], 1, method)[0][0] for a, b, c in words]
    assert [vectors.words[row] for row in vectors.solve(questions, method, 64)] == expected


def test_similarities_as_gensim_and_scipy_have_them(made: StaticVectors, tmp_path: Path) -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    one, other = random.integers(0, 6, (2, 40)).astype(float)
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    pairs = [(f"w{a}", f"W{b}", float(s)) for a, b, s in random.integers(0, 70, (50, 3))]
    path = tmp_path / "pairs.tsv"
    path.write_text("# people\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in pairs), "utf-8")
    found = compare_similarities(made, path)
    known = [(a.lower(), b.lower(), s) for a, b, s in pairs if {a.lower(), b.lower()} <= set(made.words)]
    expected = stats.spearmanr([made.similarity(a, b) for a, b, _ in known], [s for *_, s in known]).statistic
    assert (found.known, found.pairs) == (len(known), 50)
    assert found.spearman == pytest.approx(expected, abs=1e-6)
    path.write_text("a,b,1\nw1 w2 3\n", "utf-8")
    assert compare_similarities(made, path).spearman is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (": a\nx y z\n", ":2: not an analogy question, expected four words"),
        ("a b c d\n: a\n", ":1: not an analogy question, expected a section first"),
        ("a b 1\nc d\n", ":2: not a pair of words and a number"),
        ("# nothing\n", "no pairs of words"),
    ],
)
def test_bad_files(made: StaticVectors, tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(UserError, match=sentence):
        answer_analogies(made, path) if is_analogies(path) else compare_similarities(made, path)
