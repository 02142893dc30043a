import json
import re

import pytest
import torch

from fourfold.adaptation.instruction import (
    calculator_conversations,
    calculator_problems,
    conversation_batches,
    general_prompts,
    general_questions,
    is_held_out,
    mix,
    read_conversations,
    replay_conversations,
    whole_sentences,
    write_conversations,
)
from fourfold.adaptation.instruction.calculator import SEEN, UNSEEN
from fourfold.errors import UserError
from fourfold.inference import ScriptedModel
from fourfold.progress import use_sink
from fourfold.training import IGNORED


class Remarks:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def chat(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_three_layouts_read_the_same(tmp_path):
    path = tmp_path / "chats.jsonl"
    records = [
        {"messages": chat("Hi", "Hello")},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Add", "input": "1 2", "output": "3"},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    as_list = tmp_path / "chats.json"
    as_list.write_text(json.dumps(records))
    expected = [chat("Hi", "Hello")] * 3 + [chat("Add\n\n1 2", "3")]
    assert read_conversations(path) == read_conversations(as_list) == expected
    assert write_conversations(tmp_path / "again.jsonl", expected) == 4
    assert read_conversations(tmp_path / "again.jsonl") == expected


@pytest.mark.parametrize("bad", ["{", "[]", '{"text": "x"}', '{"messages": [{"role": "cat", "content": "x"}]}'])
def test_a_bad_line_is_skipped_and_named(tmp_path, bad):
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join([json.dumps({"messages": chat("a", "b")}), bad]))
    sink = Remarks()
    with use_sink(sink):
        assert read_conversations(path) == [chat("a", "b")]
    assert f"{path}:2" in sink.said[0]
    with pytest.raises(UserError, match=r"chats\.jsonl:2"):
        read_conversations(path, strict=True)


def test_no_usable_line_is_an_error(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text("{\n{\n")
    with pytest.raises(UserError, match="no usable record"):
        read_conversations(path)


def test_labels_are_the_assistants_words_and_its_end_of_turn(tokenizer):
    batches = conversation_batches([chat("Hi", "Yes"), chat("Hello there", "No way")], tokenizer, 2, 128)
    (batch,) = batches.at(0)
    for row, length in enumerate(batch.lengths.tolist()):
        wanted = batch.labels[row] != IGNORED
        shifted = torch.cat([batch.ids[row, 1:length], batch.labels[row, length - 1 : length]])
        places = wanted[:length].nonzero()[:, 0]
        assert torch.equal(batch.labels[row][places], shifted[places]) or bool((shifted[places] == IGNORED).any())
        assert not wanted[length:].any()
    answers = {tokenizer.decode(row[row != IGNORED].tolist(), skip_special=True).strip() for row in batch.labels}
    assert answers == {"Yes", "No way"}
    end = tokenizer.end_of_turn_id
    assert all(end in row.tolist() for row in batch.labels)


def test_batches_are_a_pure_function_of_the_step(tokenizer):
    data = [chat("q" * (1 + n % 7), str(n)) for n in range(37)]
    one = conversation_batches(data, tokenizer, 4, 128, seed=3)
    other = conversation_batches(data, tokenizer, 4, 128, seed=3)
    assert one.steps_per_epoch == 10
    later = other.at(23)
    for step in range(23):
        one.at(step)
    assert torch.equal(one.at(23)[0].ids, later[0].ids)
    seen = [index for step in range(10) for index in one.order.at(step)]
    assert sorted(seen) == list(range(37))
    again = [index for step in range(10, 20) for index in one.order.at(step)]
    assert sorted(again) == list(range(37))
    assert seen != again
    assert conversation_batches(data, tokenizer, 4, 128, seed=4).order.at(0) != one.order.at(0)


def test_micro_batches_split_the_rows(tokenizer):
    data = [chat("q", str(n)) for n in range(8)]
    parts = conversation_batches(data, tokenizer, 8, 128, micro_batch=3).at(0)
    assert [len(part.ids) for part in parts] == [3, 3, 2]


def test_what_the_context_cuts_is_said(tokenizer):
    data = [chat("a", "b"), chat("a", "long " * 30), chat("a" * 400, "b")]
    sink = Remarks()
    with use_sink(sink):
        batches = conversation_batches(data, tokenizer, 1, 100)
    assert len(batches.examples) == 2
    assert sink.said[0] == "the context of 100 tokens cuts 2 of 3 conversations"
    assert "dropped 1" in sink.said[1]
    assert max(len(example.ids) for example in batches.examples) == 100
    with pytest.raises(UserError, match="no conversation has an answer"):
        conversation_batches(data[2:], tokenizer, 1, 100)


@pytest.mark.parametrize("language", ["en", "zh", "both"])
@pytest.mark.parametrize("phrasings", ["seen", "unseen"])
def test_problems_are_right_and_kept_apart(phrasings, language):
    problems = calculator_problems(60, 1, phrasings, language=language)
    assert problems == calculator_problems(60, 1, phrasings, language=language)
    assert problems != calculator_problems(60, 2, phrasings, language=language)
    for problem in problems:
        a, operator, b = re.fullmatch(r"(\d+)([-+*])(\d+)", problem.expression).groups()
        assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[operator] == problem.answer >= 0
        assert 10 <= min(int(a), int(b)) <= max(int(a), int(b)) <= 9999
        assert a in problem.question
        assert b in problem.question
        assert is_held_out(int(a), operator, int(b))
    assert len({problem.expression for problem in problems}) == 60
    assert {re.sub(r"\d", "", problem.expression) for problem in problems} == {"+", "-", "*"}


def test_training_shares_no_expression_with_evaluation_in_either_order():
    taught = {one[-1]["content"] for one in calculator_conversations(500, 7, language="both")}
    assert len(taught) == 500
    for call in taught:
        a, operator, b = re.fullmatch(r"CALC\((\d+)([-+*])(\d+)\)", call).groups()
        assert not is_held_out(int(a), operator, int(b))
        assert not is_held_out(int(b), operator, int(a))


def test_unseen_phrasings_are_unseen():
    for language, operators in SEEN.items():
        for operator, templates in operators.items():
            assert not set(templates) & set(UNSEEN[language][operator])
    with pytest.raises(UserError, match="seen or unseen"):
        calculator_problems(1, 0, "sometimes")


def test_packaged_prompts_and_questions_do_not_overlap():
    prompts, questions = general_prompts("both"), general_questions()
    assert len(general_prompts()) >= 150
    assert len(general_prompts("zh")) >= 40
    assert len(questions) >= 64
    assert len({*prompts, *(question.question for question in questions)}) == len(prompts) + len(questions)
    assert questions[0].question == "Why is the sky blue?"
    for question in questions:
        assert question.keywords
        assert not any(keyword in question.question.lower().split() for keyword in question.keywords)


def test_replay_is_what_the_model_says(tokenizer):
    model = ScriptedModel(["One. Two.", "Yes."])
    assert replay_conversations(model, ["a", "b"]) == [chat("a", "One. Two."), chat("b", "Yes.")]


def test_whole_sentences():
    assert whole_sentences("It is 3.5 km. It goes") == "It is 3.5 km."
    assert whole_sentences("天很蓝。因为") == "天很蓝。"
    assert whole_sentences("no end") == ""


def test_mix_keeps_the_number_and_the_share():
    calls, replay = [chat("c", str(n)) for n in range(80)], [chat("r", str(n)) for n in range(20)]
    mixed = mix(calls, replay, 3 / 8, seed=1)
    assert len(mixed) == 80
    assert sum(one[0]["content"] == "r" for one in mixed) == 30
    assert {one[1]["content"] for one in mixed if one[0]["content"] == "r"} == {str(n) for n in range(20)}
    assert mixed == mix(calls, replay, 3 / 8, seed=1)
    assert sorted(map(str, mix(calls, [], 0.0))) == sorted(map(str, calls))
    with pytest.raises(UserError, match="nothing to replay"):
        mix(calls, [], 0.5)
