import math

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import score_texts
from fourfold.inference import ScriptedModel, TextScore

TEXT = "".join(chr(97 + (n * n) % 26) for n in range(20_000))


class Pairs:
    """Two-byte tokens at a rate that changes along the text."""

    name = "pairs"

    class tokenizer:
        @staticmethod
        def token_bytes(token_id):
            return bytes(2)

    def __init__(self, factor=1.0):
        self.factor = factor
        self.calls = 0

    def score(self, texts):
        self.calls += 1
        tokens = [len(text) // 2 for text in texts]
        return [
            TextScore(
                ids=[0] * n,
                log_probs=[-self.factor * (1 + math.sin(i / 500)) for i in range(n)],
                bytes=2 * n,
                characters=2 * n,
                stride=512,
            )
            for n in tokens
        ]

    def log_likelihood(self, pairs):
        raise AssertionError("not asked for")


def test_rows_and_comparisons(tmp_path):
    models = {"byte": ScriptedModel(["x"]), "pairs": Pairs(), "better": Pairs(0.95)}
    results = score_texts(
        models, {"prose": TEXT, "train_prose": TEXT[:9000]}, tmp_path, generations={"byte": "statistical"}
    )
    rows = {(row["model"], row["split"]): row for row in results["rows"]}
    assert len(rows) == 6
    byte = rows["byte", "test"]
    assert byte["bits_per_byte"] == pytest.approx(1)
    assert byte["low"] == pytest.approx(1)
    assert (byte["generation"], byte["sample"], byte["tokens"]) == ("statistical", "prose", 20_000)
    pairs = rows["pairs", "test"]
    assert pairs["low"] < pairs["bits_per_byte"] < pairs["high"]
    assert pairs["high"] - pairs["low"] > 0.05
    assert (pairs["stride"], pairs["blocks"]) == (512, 10)
    compared = [(row["a"], row["b"]) for row in results["comparisons"]]
    assert compared == [("byte", "pairs"), ("byte", "better"), ("pairs", "better")]
    assert all(row["sample"] == "prose" for row in results["comparisons"]), "train text decides nothing"


def test_paired_blocks_show_what_overlapping_intervals_hide(tmp_path):
    models = {"pairs": Pairs(), "better": Pairs(0.95)}
    results = score_texts(models, {"prose": TEXT}, tmp_path)
    first, second = results["rows"]
    (difference,) = results["comparisons"]
    assert second["high"] > first["low"]
    assert difference["verdict"] == "better"
    assert difference["high"] < 0


def test_scores_are_kept(tmp_path):
    model = Pairs()
    first = score_texts({"m": model}, {"prose": TEXT}, tmp_path)
    assert score_texts({"m": model}, {"prose": TEXT}, tmp_path) == first
    assert model.calls == 1
    score_texts({"m": model}, {"prose": TEXT + "xx"}, tmp_path)
    score_texts({"m": model}, {"prose": TEXT}, tmp_path, hashes={"m": "other"})
    assert model.calls == 3


def test_short_text_has_no_interval(tmp_path):
    (row,) = score_texts({"m": Pairs()}, {"prose": TEXT[:1000]}, tmp_path)["rows"]
    assert row["low"] is None
    assert row["bits_per_byte"] > 0


def test_refusals(tmp_path):
    class Endpoint:
        name = "gpt"
        capabilities = frozenset({"chat"})
        score = log_likelihood = None

    with pytest.raises(UserError, match=r"'gpt' gives no log-probabilities.*Load the model from its files"):
        score_texts({"gpt": Endpoint()}, {"prose": TEXT}, tmp_path)
    with pytest.raises(UserError, match="'prose' is empty"):
        score_texts({"m": Pairs()}, {"prose": ""}, tmp_path)
