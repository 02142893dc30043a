"""Downstream tasks: records from files and documents, rows, scores by hand, and models that learn them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.adaptation.downstream import (
    MADE,
    TASKS,
    Record,
    RowMaker,
    Tag,
    TaskBatches,
    answer_records,
    baseline,
    best_span,
    difference,
    hold_out,
    interval,
    macro_f1,
    make_tuned,
    read_task_records,
    rouge_l,
    score_records,
    task_config,
    token_at,
)
from fourfold.errors import UserError
from fourfold.models import model_config
from fourfold.pretraining.corpus import Document
from fourfold.pretraining.objectives import RESERVED
from fourfold.tokenizers import END_OF_TEXT, train_byte_bpe
from fourfold.training import IGNORED, LanguageModelling, adamw, linear, train

MODULE = '''
def first(values, default=None):
    """Return the first of some values."""
    for value in values:  # only one
        return value
    return default


def second(values):
    """Return the second of some values."""
    iterator = iter(values)
    next(iterator)
    return next(iterator)


class Thing:
    def third(self, number=3):
        """Describe the third thing there is."""
        text = f"thing {number}"
        return text + 'é'


def silent(values):
    return values
'''
TEXT = "In the year of grace the Congress met, and much was said of commerce with all nations. " * 3


@pytest.fixture(scope="module")
def tokenizer():
    special = (END_OF_TEXT, *RESERVED["mask"])
    return train_byte_bpe([MODULE, TEXT] * 3, 400, special_tokens=special)


def document(text, name="d", **meta):
    return Document(id=name, text=text, source="x", meta=meta)


def lines(path, *values):
    path.write_text("\n".join(json.dumps(value) for value in values), "utf-8")
    return path


def test_files_of_each_kind(tmp_path):
    (one, two) = read_task_records(
        lines(
            tmp_path / "a.jsonl", {"text": "good", "label": True}, {"text": "bad", "label": "no", "question": "how?"}
        ),
        "classification",
    )
    assert (one.answer, two.answer, two.question) == ("True", "no", "how?")
    (tagged,) = read_task_records(
        lines(tmp_path / "b.jsonl", {"tokens": ["New", "York"], "tags": ["B", "I"]}), "tagging"
    )
    assert tagged.text == "New York"
    assert [tagged.text[tag.start : tag.end] for tag in tagged.tags] == ["New", "York"]
    squad = {"context": "a b a", "question": "q", "answers": {"text": ["a"], "answer_start": [4]}}
    for value, start in [
        (squad, 4),
        ({**squad, "answers": [{"text": "b", "answer_start": 2}]}, 2),
        ({"context": "a b a", "question": "q", "answer": "a"}, 0),
        ({"context": "a b a", "question": "q", "answer": "a", "start": 4, "group": "g"}, 4),
    ]:
        (found,) = read_task_records(lines(tmp_path / "c.jsonl", value), "extraction")
        assert found.start == start
    (pair,) = read_task_records(lines(tmp_path / "d.jsonl", {"source": "long", "target": "short"}), "seq2seq")
    assert (pair.text, pair.answer) == ("long", "short")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("classification", {"text": "x"}, "'label'"),
        ("classification", {"text": 3, "label": "x"}, "no text"),
        ("classification", {"text": "x", "label": None}, "NoneType"),
        ("tagging", {"tokens": ["a"], "tags": []}, "1 tokens and 0 tags"),
        ("extraction", {"context": "a", "question": "q", "answer": "b"}, "does not stand"),
        ("extraction", {"context": "a", "question": "q", "answers": []}, "no record"),
        ("seq2seq", ["source"], "no record for seq2seq"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, kind, value, words):
    with pytest.raises(UserError, match=rf"x\.jsonl:1.*{words}|{words}.*x\.jsonl:1"):
        read_task_records(lines(tmp_path / "x.jsonl", value), kind)


def test_groups_are_held_out_whole():
    records = [Record(text=str(number), group=str(number % 50)) for number in range(500)]
    kept, held = hold_out(records)
    assert not {r.group for r in kept} & {r.group for r in held}
    assert len(kept) + len(held) == 500
    assert 40 < len(held) < 200
    assert hold_out(records)[1] == held


def test_made_from_python():
    documents = [document(MODULE, "m"), document("not ( python", "n")]
    descriptions = list(MADE["docstrings"].make(documents))
    assert [record.answer for record in descriptions] == [
        "Return the first of some values.",
        "Return the second of some values.",
        "Describe the third thing there is.",
    ]
    assert all('"""' not in record.text and record.text.startswith("def ") for record in descriptions)
    (question,) = MADE["functions"].make(documents)
    assert question.text[question.start :].startswith(question.answer)
    assert all(f"def {name}(" in question.text for name in ("first", "second", "third"))
    tagged = list(MADE["token-types"].make(documents))
    found = {record.text[tag.start : tag.end]: tag.name for record in tagged for tag in record.tags}
    expected = {
        "def": "keyword",
        "values": "name",
        "3": "number",
        "# only one": "comment",
        "(": "operator",
        "'é'": "string",
    }
    assert expected.items() <= found.items()


def test_made_from_dated_addresses():
    documents = [document(TEXT, "a", date="1801-12-08"), document(TEXT, "b", date="1913-12-02"), document(TEXT, "c")]
    found = [(record.answer, record.group) for record in MADE["period"].make(documents)]
    assert found == [("until 1860", "a"), ("1913 to 1960", "b")]
    assert {task.kind for task in MADE.values()} == set(TASKS)


def test_rouge_l_by_hand():
    """Lin 2004, section 3.1: police killed the gunman; police kill the gunman; the gunman kill police."""
    reference = ["police", "killed", "the", "gunman"]
    assert rouge_l(["police", "kill", "the", "gunman"], reference) == pytest.approx(0.75)
    assert rouge_l(["the", "gunman", "kill", "police"], reference) == pytest.approx(0.5)
    assert rouge_l([], reference) == 0
    assert rouge_l(["the", "the", "the"], ["the"]) == pytest.approx(0.5)


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_rouge_l_is_the_longest_common_subsequence(left, right):
    def longest(a, b):
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    common = longest(left, right)
    assert rouge_l(left, right) == pytest.approx(2 * common / (len(left) + len(right)) if common else 0.0)


def test_scores_by_hand():
    tags = (Tag(0, 1, "x"), Tag(1, 2, "y"), Tag(2, 3, "x"))
    tagged = [Record(text="abc", tags=tags)]
    (score,) = score_records("tagging", tagged, [["x", "x", "x"]])["accuracy"]
    assert score == (2, 3)
    # x: precision 2/3, recall 1: 0.8; y: 0.
    assert macro_f1(tagged, [["x", "x", "x"]]) == pytest.approx(0.4)
    asked = [Record(text="", answer="the big house")]
    found = score_records("extraction", asked, ["A big garden"])
    assert found["exact_match"][0].points == 0
    assert found["f1"][0].points == pytest.approx(0.5)
    assert score_records("extraction", asked, ["Big house!"])["exact_match"][0].points == 1
    labelled = [Record(text="", answer=label) for label in "aab"]
    assert baseline("classification", labelled, labelled[:2]) == ["a", "a"]
    assert baseline("tagging", tagged, tagged) == [["x", "x", "x"]]
    assert baseline("seq2seq", [], [Record(text="first\nsecond")]) == ["first"]


def test_intervals_and_differences_are_over_groups():
    random = np.random.default_rng(0)
    records = [Record(text="", answer="a", group=str(number // 10)) for number in range(200)]
    quality = np.repeat(random.random(20), 10)
    one = ["a" if random.random() < q else "b" for q in quality]
    two = ["a" if answer == "a" or random.random() < 0.4 else "b" for answer in one]
    scores = [score_records("classification", records, answers)["accuracy"] for answers in (one, two)]
    grouped = interval(records, scores[0])
    alone = interval([Record(text="", answer="a") for _ in records], scores[0])
    assert grouped.value == alone.value == pytest.approx(one.count("a") / 200)
    assert grouped.high - grouped.low > alone.high - alone.low
    better = difference(records, *scores)
    assert better.verdict == "better"
    assert better.difference == pytest.approx((two.count("a") - one.count("a")) / 200)
    assert 0 < better.low < better.difference < better.high
    assert difference(records, *reversed(scores)).verdict == "worse"


@pytest.mark.parametrize("form", ["bidirectional", "causal"])
def test_rows_of_a_classifier(tokenizer, form):
    text, question = "the Congress met", "who met?"
    record = Record(text=text, question=question, answer="Congress", start=4)
    row = RowMaker(tokenizer, "extraction", form, 64).row(record)
    covered = [text[start:end] if start >= 0 else None for start, end in row.offsets]
    assert "".join(part for part in covered if part) == text
    first, last = row.targets
    assert text[row.offsets[first][0] : row.offsets[last][1]].strip() == "Congress"
    ids = row.example.ids
    assert tokenizer.decode(ids.tolist()) == question + text
    assert (row.example.segments is not None) == (form == "bidirectional")
    cut = RowMaker(tokenizer, "extraction", form, 16).row(Record(text=text * 9, question="", answer="met", start=100))
    assert (cut.targets, len(cut.example.ids)) == (None, 16)
    tags = (Tag(0, 3, "x"), Tag(4, 12, "y"), Tag(500, 501, "x"))
    tagged = RowMaker(tokenizer, "tagging", form, 64, ["x", "y"]).row(Record(text=text, tags=tags))
    wanted = {place: target for place, target in enumerate(tagged.targets) if target != IGNORED}
    assert wanted == {token_at(tagged.offsets, 0): 0, token_at(tagged.offsets, 4): 1}


@pytest.mark.parametrize("form", ["causal", "prefix", "encoder-decoder"])
def test_rows_that_are_written(tokenizer, form):
    record = Record(text="the Congress met " * 20, answer="they met")
    maker = RowMaker(tokenizer, "seq2seq", form, 40)
    example = maker.row(record).example
    labels = example.labels[example.labels != IGNORED]
    assert tokenizer.decode(labels.tolist()) == "they met"
    assert labels[-1] == tokenizer.eos_id
    assert len(example.ids) <= 40
    prompt = maker.prompt(record)
    if form == "encoder-decoder":
        assert example.source.tolist() == prompt
        assert len(prompt) == 40
    else:
        assert example.ids.tolist()[: len(prompt)] == prompt
        assert example.prefix == (len(prompt) if form == "prefix" else 0)


def test_special_tokens_in_a_text_stay_text(tokenizer):
    row = RowMaker(tokenizer, "classification", "bidirectional", 64, ["a"]).row(Record(text="a [SEP] b", answer="a"))
    assert row.example.ids.tolist().count(tokenizer.core_copy().token_to_id("[SEP]")) == 1


def test_the_best_span_is_in_the_text_and_in_order(tokenizer):
    row = RowMaker(tokenizer, "extraction", "bidirectional", 64).row(
        Record(text="a b c d", question="q", answer="a", start=0)
    )
    scores = torch.full((len(row.offsets) + 3, 2), -5.0)
    inside = [place for place, (start, _) in enumerate(row.offsets) if start >= 0]
    scores[0] = 99.0  # [CLS]
    scores[-1] = 99.0  # padding
    scores[inside[2], 0] = 4.0
    scores[inside[1], 1] = 4.0
    scores[inside[3], 1] = 3.0
    assert best_span(scores, row) == (inside[2], inside[3])


def test_what_a_model_cannot_do_is_refused(tokenizer):
    with pytest.raises(UserError, match="no tags for tokens"):
        RowMaker(tokenizer, "tagging", "encoder-decoder", 32)
    with pytest.raises(UserError, match="writes no text"):
        RowMaker(tokenizer, "seq2seq", "bidirectional", 32)


WORDS = ["nations", "commerce", "Congress", "grace", "year"]


def records_of(kind, count, seed):
    """A task a small model learns in a moment: which of the words is in the text, and where."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        word = str(random.choice(WORDS))
        before = "of the " * int(random.integers(1, 4))
        text = before + word + " said"
        if kind == "tagging":
            place = len(before)
            tags = (Tag(0, 2, "little"), Tag(place, place + len(word), "word" if word in WORDS[:2] else "other"))
            found.append(Record(text=text, tags=tags))
        else:
            found.append(
                Record(text=text, question="who" if kind == "extraction" else "", answer=word, start=len(before))
            )
    return found


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("classification", "bert"), ("classification", "gpt2"), ("classification", "t5"),
        ("tagging", "bert"), ("tagging", "llama"),
        ("extraction", "bert"), ("extraction", "llama"), ("extraction", "bart"),
        ("seq2seq", "llama"), ("seq2seq", "t5"),
    ],
)  # fmt: skip
def test_models_learn_what_can_be_learnt(tokenizer, kind, family):
    table = {"family": family, "layers": 1, "hidden_size": 32, "heads": 2, "context": 40, "initialisation": "scaled"}
    if family in ("t5", "bart"):
        table |= {"tied_embeddings": False, "decoder_start_id": tokenizer.eos_id, "empty_source": [tokenizer.eos_id]}
    base = model_config(table, tokenizer.vocabulary_size)
    form = {"bert": "bidirectional", "gpt2": "causal", "llama": "causal"}.get(family, "encoder-decoder")
    some, held = records_of(kind, 96, 0), records_of(kind, 32, 1)
    classes = {"classification": WORDS, "tagging": ["little", "other", "word"]}.get(kind, [])
    maker = RowMaker(tokenizer, kind, form, 40, classes)
    model = make_tuned(task_config(base, kind, len(classes), maker.writes), 0, None)
    batches = TaskBatches([maker.row(record) for record in some], maker.marks.end, 16, 0)
    weights = {"cross_entropy": 1.0} if maker.writes else {"classes": 1.0}
    objective = LanguageModelling(weights=weights, span=kind == "extraction")
    steps = 150 if maker.writes else 80
    list(train(model, objective, batches, adamw(model, 0.01), steps=steps, schedule=linear(0.01, steps, warmup=20)))
    answers = answer_records(model, maker, tokenizer, held)
    scores = next(iter(score_records(kind, held, answers).values()))
    assert sum(score.points for score in scores) / sum(score.of for score in scores) > 0.9


def test_pretrained_weights_are_taken_over(tokenizer):
    table = {"family": "bert", "layers": 1, "hidden_size": 16, "heads": 2, "context": 16, "pooler": True}
    config = model_config(table, tokenizer.vocabulary_size)
    base = make_tuned(config, 3, None)
    tuned = make_tuned(task_config(config, "classification", 4, False), 5, base)
    assert torch.equal(tuned.stack.embedding.weight, base.stack.embedding.weight)
    assert torch.equal(tuned.pooler.weight, base.pooler.weight)
    assert tuned.head is None
    assert task_config(config, "tagging", 4, False).pooler is False
    assert tuned.task.projection.weight.shape == (4, 16)
    fresh = make_tuned(task_config(config, "classification", 4, False), 5, None)
    assert not torch.equal(fresh.stack.embedding.weight, base.stack.embedding.weight)
    assert torch.equal(fresh.task.projection.weight, tuned.task.projection.weight)
