"""The same questions asked in several ways, of a double whose answers are known."""

import json

import pytest

from fourfold.errors import UserError
from fourfold.inference import ScriptedModel
from fourfold.workflow.claims import asking, find_claim, read_claim, run_claim

CLAIM = """
name = "tiny"
title = { en = "Letters hide ability", zh = "字母" }
section = "7.3"
statement = { en = "They do.", zh = "是。" }
cites = ["zhao2023survey"]
limits = ["It is tiny."]
model = { reference = "smollm2" }
[questions]
task = "arc_easy"
items = 4
metric = "accuracy_raw"
[[axis]]
name = "method"
label = "method"
values = { likelihood = {} }
[axis.derived]
"per byte" = { of = "likelihood", metric = "accuracy" }
"letter" = { of = "likelihood", way = "letter_generation", metric = "accuracy" }
[[measurement]]
kind = "choices"
[[expect]]
says = "likelihood is better"
measure = "right"
better = { method = "likelihood" }
than = { method = "letter" }
[[figure]]
name = "right"
kind = "dots"
measure = "right"
series = "method"
title = "Right"
caption = "Dots."
[quick]
minutes = 0.1
steps = 1
[full]
minutes = 0.1
steps = 1
"""


class Unscored:
    """A model that only chats."""

    name = "chatty"
    capabilities = frozenset({"chat"})


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Run the claim on a double: the shortest choice is the likeliest, the letter is always B."""

    def make(model=None, text=CLAIM, questions=20, **options):
        double = model or ScriptedModel(["B"])
        loaded = []

        class Store:
            def __init__(self, stages):
                pass

            def get(self, reference):
                loaded.append(reference)
                return double

        monkeypatch.setattr(asking, "ModelStore", Store)
        lines = [
            {
                "id": number,
                "question": f"What is {number}?",
                "choices": ["x", "something long"] if number % 4 else ["x" * 30, "long"],
                "answer": 0 if number % 2 else 1,
            }
            for number in range(questions)
        ]
        data = tmp_path / "questions.jsonl"
        data.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        path = tmp_path / "tiny.toml"
        path.write_text(text, "utf-8")
        record = run_claim(path, "quick", tmp_path / "out", "again", data=data, **options)
        return record, loaded, double

    return make


def test_every_way_is_read_off_the_same_questions(asked, tmp_path):
    record, loaded, double = asked()
    assert [row["labels"]["method"] for row in record["rows"]] == ["likelihood", "per byte", "letter"] * 3
    assert set(loaded) == {"smollm2"}
    texts = [conversation[0]["content"] for conversation in double.conversations]
    numbers = [int(text.partition("What is ")[2].partition("?")[0]) for text in texts]
    assert len(set(numbers)) == 12  # three seeds with four questions each, none asked twice
    for seed in range(3):
        own = numbers[4 * seed : 4 * seed + 4]
        likely = [(0 if number % 4 else 1) == (0 if number % 2 else 1) for number in own]
        letters = [number % 2 == 0 for number in own]
        raw, _, letter = (row["numbers"]["right"] for row in record["rows"][3 * seed : 3 * seed + 3])
        assert (raw, letter) == (sum(likely) / 4, sum(letters) / 4)
    assert record["data"]["source"] == "questions.jsonl"
    page = (tmp_path / "out" / "page.md").read_text("utf-8")
    assert "each of 3 seeds has the next 4 questions for itself" in page
    assert "fourfold claim run tiny --quick --data FILE" in page
    assert str(tmp_path) not in page + (tmp_path / "out" / "results.json").read_text("utf-8")


def test_what_was_asked_is_not_asked_again(asked):
    first, _, _ = asked()
    same, loaded, _ = asked()
    assert loaded == []
    assert same == first


def test_the_users_model_takes_the_place_of_the_claims(asked, monkeypatch, tmp_path):
    _, loaded, _ = asked()
    claim = tmp_path / "tiny.toml"
    record = run_claim(claim, "quick", tmp_path / "out", "again", model="mine", data=tmp_path / "questions.jsonl")
    assert loaded == ["smollm2"] * 3 + ["mine"] * 3
    assert record["data"]["model"] == "mine"
    assert "--model mine" in (tmp_path / "out" / "page.md").read_text("utf-8")


def test_what_cannot_be_asked_is_one_sentence(asked, tmp_path):
    with pytest.raises(UserError, match="'smollm2' gives no log-probabilities of a text"):
        asked(model=Unscored())
    with pytest.raises(UserError, match="too few questions for 3 seeds, expected 12, got 9"):
        asked(questions=9)
    with pytest.raises(UserError, match="unknown way of asking 'letter_generatio'"):
        asked(text=CLAIM.replace("letter_generation", "letter_generatio"))
    with pytest.raises(UserError, match="unknown metric of letter_generation 'acuracy'"):
        asked(text=CLAIM.replace('generation", metric = "accuracy"', 'generation", metric = "acuracy"'))
    with pytest.raises(UserError, match="unknown benchmark 'arc_esy'"):
        asked(text=CLAIM.replace("arc_easy", "arc_esy"))
    with pytest.raises(UserError, match="belong together"):
        asked(text=CLAIM.replace('"choices"', '"held_out"'))
    with pytest.raises(UserError, match="makes its own models from its own text, so --model means nothing"):
        run_claim(find_claim("activations"), "quick", tmp_path / "own", "again", model="smollm2")


def test_the_shipped_claim_asks_ways_that_exist(monkeypatch, asked):
    claim = read_claim(find_claim("letters-hide-ability"))
    text = find_claim("letters-hide-ability").read_text("utf-8")
    record, _, _ = asked(text=text.replace("seeds = 5", "seeds = 3"), questions=3 * claim.questions.items)
    assert len(record["rows"]) == 3 * 6
