"""The same item under two layouts is one item; different items never are."""

from fourfold.evaluation.comparing import Sample, pair_items
from fourfold.evaluation.comparing.documents import choices_of, question_of, target_of


def sample(question="", choices=(), target="", id="", prompt="", score=1.0, task="t"):
    return Sample(
        model="m", task=task, solver="", id=id, prompt=prompt or question, output="", target=target,
        scores={"accuracy": score}, question=question, choices=tuple(choices),
    )  # fmt: skip


def test_layout_does_not_matter_content_does():
    ours = [
        sample("What is ice?", [" Water", " Air"], "Water", id="1"),
        sample("什么是冰？", ["水", "空气"], id="2"),
        sample("x > 0", ["yes", "no"]),
    ]
    theirs = [
        sample("x < 0", ["yes", "no"]),
        sample("Question: What is ice ?\nAnswer:", ["Air", "Water"], "Water", id="77"),
        sample("什么是冰?", ["空气", "水"]),
    ]
    found = pair_items(ours, theirs)
    assert [(a.id, b.question) for a, b in found.pairs] == [("1", theirs[1].question), ("2", theirs[2].question)]
    assert found.by == "question and choices"
    assert found.unpaired == 2


def test_equal_ids_of_different_questions_do_not_pair():
    found = pair_items([sample("first question", id="0")], [sample("second question", id="0")])
    assert found.pairs == []


def test_without_text_ids_decide():
    found = pair_items([sample(id="a"), sample(id="b")], [sample(id="b"), sample("with text", id="a")])
    assert found.by == "id"
    assert [(a.id, b.id) for a, b in found.pairs] == [("a", "a"), ("b", "b")]


def test_repeated_items_pair_in_order_and_by_their_answers():
    ours = [sample("q", target="one", id="1"), sample("q", target="two", id="2"), sample("q", target="two", id="3")]
    theirs = [sample("q", target="two", id="x"), sample("q", target="one", id="y")]
    found = pair_items(ours, theirs)
    assert [(a.id, b.id) for a, b in found.pairs] == [("1", "y"), ("2", "x")]
    assert (found.unpaired, found.repeated) == (1, 2)


def test_a_looser_key_only_when_it_is_needed():
    """One side kept no choices: the question decides. With choices on both, a changed choice is another item."""
    questions = [f"question {n}" for n in range(4)]
    with_choices = [sample(q, ["a", "b"]) for q in questions]
    assert pair_items(with_choices, [sample(q) for q in questions]).by == "question"
    changed = [sample(q, ["a", "b" if n else "c"]) for n, q in enumerate(questions)]
    found = pair_items(with_choices, changed)
    assert (found.by, len(found.pairs)) == ("question and choices", 3)


def test_prompts_with_demonstrations_pair_by_their_last_part():
    shots = "Question: old one\nAnswer: no\n\n"
    ours = [sample("Question: new one\nAnswer:")]
    theirs = [sample(shots + "Question: new one\nAnswer:", prompt=shots + "Question: new one\nAnswer:")]
    found = pair_items(ours, theirs)
    assert found.by == "prompt"
    assert len(found.pairs) == 1


def test_a_last_word_belongs_to_its_text():
    found = pair_items([sample("the cat sat on the", ["mat"])], [sample("The cat sat on the mat")])
    assert len(found.pairs) == 1


def test_questions_of_signs_alone_stay_apart():
    assert pair_items([sample("( + )")], [sample("( - )")]).pairs == []


def test_documents_of_many_data_sets():
    arc = {"question": "Q?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
    assert (question_of(arc), choices_of(arc)) == ("Q?", ("a", "b"))
    assert choices_of({"goal": "g", "sol1": "x", "sol2": "y", "label": 0}) == ("x", "y")
    assert choices_of({"sentence": "_", "option1": "x", "option2": "y", "answer": "1"}) == ("x", "y")
    assert choices_of({"question": "q", "A": "x", "B": "y", "C": "z", "D": "w"}) == ("x", "y", "z", "w")
    assert choices_of({"mc1_targets": {"choices": ["x", "y"], "labels": [1, 0]}}) == ("x", "y")
    assert choices_of({"question": "q", "answer": "#### 4"}) == ()
    assert question_of({"text": "lambada"}) == "lambada"
    assert target_of("1", ("a", "b")) == "b"
    assert target_of("B", ("a", "b")) == "b"
    assert target_of("2", ("1", "2")) == "2"
    assert target_of("#### 4", ()) == "#### 4"
