"""Ways to ask questions with choices, on models whose answers are known."""

from __future__ import annotations

import json
import math

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import ask, benchmark_task, evaluate
from fourfold.files import read_json, read_jsonl
from fourfold.inference import Continuation, Generation


class Known:
    """Nats by continuation; continues and chats by fixed words."""

    name = "known"

    def __init__(self, nats, written="", *, tokens=1):
        self.nats, self.written, self.tokens = nats, written, tokens
        self.prompts = []
        self.calls = []

    def score(self, texts):
        raise AssertionError("not asked for")

    def log_likelihood(self, pairs):
        self.calls.append(len(pairs))
        return [Continuation(self.nats[text], self.nats[text] > -1, len(text.split())) for _, text in pairs]

    def generate(self, prompts, sampling=None):
        self.prompts += prompts
        return [Generation(text=self.written, finish_reason="stop") for _ in prompts]

    def chat(self, messages, sampling=None):
        return self.chat_batch([messages], sampling)[0]

    def chat_batch(self, conversations, sampling=None):
        self.prompts += conversations
        return [Generation(text=self.written, finish_reason="stop") for _ in conversations]


def task(tmp_path, name="arc_easy", records=None, **options):
    records = records or [{"id": "1", "question": "q?", "choices": ["no", "a b c d"], "answer": 1}]
    path = tmp_path / f"{name}_test.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return benchmark_task(f"{name}@{path}", **options)


def test_likelihood_is_counted_in_three_ways(tmp_path):
    # per byte: -2/2 against -6/7; per token: -2/1 against -6/4; raw: -2 against -6
    (one,) = ask(Known({" no": -2.0, " a b c d": -6.0}), task(tmp_path))
    assert one.scores == {"accuracy": 1, "accuracy_token": 1, "accuracy_raw": 0}
    (one,) = ask(Known({" no": -1.4, " a b c d": -5.2}), task(tmp_path))
    assert one.scores == {"accuracy": 0, "accuracy_token": 1, "accuracy_raw": 0}


def test_two_readings_are_scored_on_what_they_share(tmp_path):
    records = [{"sentence": "Ann saw that _ ran.", "option1": "Bo", "option2": "a long name", "answer": "1"}]
    shown = task(tmp_path, "winogrande", records)

    class Reads(Known):
        def log_likelihood(self, pairs):
            assert [text for _, text in pairs] == [" ran."] * 2
            return [Continuation(nats, False, 2) for nats in (-2.0, -3.0)]

    (one,) = ask(Reads({}), shown)
    assert one.scores == {"accuracy": 1, "accuracy_raw": 1, "accuracy_token": 1}


def test_letters_are_scored_or_written(tmp_path):
    shown = task(tmp_path)
    (one,) = ask(Known({" A": -3.0, " B": -1.0}), shown, "letters")
    assert (one.output, one.scores) == ("B", {"accuracy": 1})
    model = Known({}, " B. a b c d")
    (one,) = ask(model, shown, "letter_generation")
    assert (one.output, one.scores) == ("B. a b c d", {"accuracy": 1, "letter_found": 1})
    assert model.prompts == ["q?\nA. no\nB. a b c d\nAnswer:"]
    model = Known({}, "The answer is (A).")
    (one,) = ask(model, shown, "letter_chat")
    assert one.scores == {"accuracy": 0, "letter_found": 1}
    ((turn,),) = model.prompts
    assert turn["content"].endswith("\nAnswer:\n\nAnswer with the letter of the right choice only.")


@pytest.mark.parametrize(
    ("written", "found"),
    [("B", 1), ("(B)", 1), ("b", None), ("Because", None), ("I think it's C, or B", 1), ("答案是B。", 1), ("", None)],
)
def test_a_letter_is_one_that_stands_alone(written, found, tmp_path):
    (one,) = ask(Known({}, written), task(tmp_path), "letter_generation")
    assert one.scores == {"accuracy": float(found == 1), "letter_found": float(found is not None)}


def test_a_chat_shows_demonstrations_as_turns(tmp_path):
    records = [{"id": str(n), "question": f"q{n}?", "choices": ["x", "y"], "answer": n % 2} for n in range(3)]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    model = Known({}, "A")
    ask(model, benchmark_task(f"arc_easy@{path}", shots=2, shots_from=str(path)), "letter_chat")
    (turns,) = model.prompts
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in turns if turn["role"] == "assistant"] == ["A", "B"]


def test_last_words_have_a_perplexity_over_all(tmp_path):
    records = [{"text": "one two"}, {"text": "three four"}]
    results = evaluate(
        {"m": Known({" two": -0.5, " four": -1.5})}, [task(tmp_path, "lambada", records)], folder=tmp_path / "out"
    )
    (row,), (detail,) = results["rows"], results["details"]
    assert (row["metric"], row["value"], row["method"]) == ("accuracy", 0.5, "most probable token at every step")
    assert (detail["metric"], detail["value"]) == ("perplexity", pytest.approx(math.exp(1.0)))
    assert math.exp(0.5) - 1e-9 <= detail["low"] <= detail["value"] <= detail["high"]


def test_all_true_answers_share_their_probability(tmp_path):
    records = [{"question": "q", "best_answer": "a", "correct_answers": ["a", "b"], "incorrect_answers": ["c"]}]
    nats = {" a": math.log(0.2), " b": math.log(0.1), " c": math.log(0.3)}
    (one,) = ask(Known(nats), task(tmp_path, "truthfulqa_mc2", records))
    assert one.scores == {"true_share": pytest.approx(0.5)}
    assert list(task(tmp_path, "truthfulqa_mc1", records).ways) == ["log_likelihood"]


def test_a_way_the_task_has_not_is_refused(tmp_path):
    with pytest.raises(UserError, match="task 'lambada' cannot be asked by 'letters', expected log_likelihood"):
        ask(Known({}), task(tmp_path, "lambada", [{"text": "a b"}]), "letters")


def test_two_tasks_of_one_name_are_refused(tmp_path):
    one = task(tmp_path)
    with pytest.raises(UserError, match="two tasks of the name 'arc_easy'"):
        evaluate({"m": Known({})}, [one, one], folder=tmp_path / "out")


def subjects(tmp_path, counts):
    records = [
        {"id": f"{name}{n}", "question": f"{name} {n}", "subject": name, "choices": list("wxyz"), "answer": n % 4}
        for name, count in counts.items()
        for n in range(count)
    ]
    return task(tmp_path, "mmlu", records)


def test_subjects_have_rows_and_a_mean(tmp_path):
    model = Known({" A": -1.0, " B": -2.0, " C": -2.0, " D": -2.0})
    results = evaluate({"m": model}, [subjects(tmp_path, {"law": 4, "logic": 1})], folder=tmp_path / "out")
    assert results["rows"][0]["value"] == pytest.approx(2 / 5)
    mean, law, logic = results["details"]
    assert (law["subject"], law["value"], law["n"]) == ("law", 0.25, 4)
    assert (logic["subject"], logic["value"], logic["n"]) == ("logic", 1.0, 1)
    # By hand: within the groups, a sum of squares of 0.75 over 3 degrees of freedom.
    half = 1.959964 * math.sqrt(0.25 * (1 / 4 + 1)) / 2
    assert (mean["metric"], mean["value"]) == ("accuracy_mean_of_subjects", 0.625)
    assert (mean["n"], mean["subjects"]) == (5, 2)
    assert (mean["low"], mean["high"]) == (pytest.approx(0.625 - half), pytest.approx(0.625 + half))


def test_a_killed_run_asks_only_what_is_missing(tmp_path):
    class Dies(Known):
        def log_likelihood(self, pairs):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().log_likelihood(pairs)

    nats = {" A": -1.0, " B": -2.0, " C": -2.0, " D": -2.0}
    asked = subjects(tmp_path, {"law": 70, "logic": 70, "physics": 70})
    whole = evaluate({"m": Known(nats)}, [asked], folder=tmp_path / "whole")
    killed, again = Dies(nats), Known(nats)
    with pytest.raises(KeyboardInterrupt):
        evaluate({"m": killed}, [asked], folder=tmp_path / "out")
    assert killed.calls == [280, 280]
    (parts,) = (tmp_path / "out" / "cells").glob("*.parts.jsonl")
    parts.write_bytes(parts.read_bytes()[:-30])  # the second part was cut while it was written
    results = evaluate({"m": again}, [asked], folder=tmp_path / "out")
    assert again.calls == [280, 280]
    assert [row["value"] for row in results["rows"]] == [row["value"] for row in whole["rows"]]
    samples = [[value for _, value in read_jsonl(tmp_path / name / "samples.jsonl")] for name in ("out", "whole")]
    assert samples[0] == samples[1]
    assert not parts.exists()
    evaluate({"m": again}, [asked], folder=tmp_path / "out")
    assert again.calls == [280, 280]
    assert read_json(tmp_path / "out" / "results.json")["data"]["mmlu"]["shots"] == 0
