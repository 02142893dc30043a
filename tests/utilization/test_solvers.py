import pytest

from fourfold.inference import Sampling
from fourfold.utilization import (
    Conversation,
    Demonstration,
    chain,
    chain_of_thought,
    conversations_of,
    few_shot,
    few_shot_chain_of_thought,
    majority,
    self_consistency,
    zero_shot,
)

SHOWN = [
    Demonstration(question="1+1?", answer="2", reasoning="One and one."),
    Demonstration(question="2+2?", answer="4"),
]


def test_zero_shot_asks_all_in_one_batch(replies):
    model = replies(lambda messages, _: f" {messages[-1]['content']}! ")
    solved = zero_shot(model)(conversations_of(["a", "b"]))
    assert [c.output for c in solved] == ["a!", "b!"]
    assert len(model.batches) == 1
    assert model.samplings[0].temperature == 0
    assert solved[0].messages[-1] == {"role": "assistant", "content": " a! "}
    assert solved[0].question == "a"
    assert zero_shot(model)([]) == []


def test_few_shot_shows_turns_before_the_question(replies):
    model = replies(lambda messages, _: "4")
    system = {"role": "system", "content": "Be brief."}
    start = Conversation(messages=(system, {"role": "user", "content": "3+1?"}))
    few_shot(model, SHOWN)([start])
    asked = [m["content"] for m in model.batches[0][0]]
    assert asked == ["Be brief.", "1+1?", "2", "2+2?", "4", "3+1?"]
    few_shot_chain_of_thought(model, SHOWN)([start])
    assert model.batches[1][0][2]["content"] == "One and one. The answer is 2."
    assert model.batches[1][0][4]["content"] == "4", "a demonstration without reasoning shows its answer"


def test_chain_of_thought_reasons_then_extracts(replies):
    model = replies(lambda messages, _: "42" if "Therefore" in messages[-1]["content"] else "6 times 7 …")
    (solved,) = chain_of_thought(model, Sampling(max_tokens=100))(conversations_of(["6*7?"]))
    assert solved.output == "42"
    assert solved.meta["reasoning"] == "6 times 7 …"
    assert model.batches[0][0][0]["content"] == "6*7?\nLet's think step by step."
    assert [s.max_tokens for s in model.samplings] == [100, 32]
    (single,) = chain_of_thought(model, extraction="")(conversations_of(["6*7?"]))
    assert single.output == "6 times 7 …"


def test_self_consistency_votes_over_seeds(replies):
    said = {0: "it is 3", 1: "no idea", 2: "maybe 8", 3: "so 8", 4: "3 or 8"}
    model = replies(lambda messages, sampling: said[sampling.seed])
    solver = self_consistency(lambda i: zero_shot(model, Sampling(temperature=0.7, seed=i)), 5)
    first, second = solver(conversations_of(["a", "b"]))
    assert first.output == second.output == "8"
    assert first.meta["votes"] == ["3", None, "8", "8", "8"]
    assert len(model.batches) == 5, "a batch a path, not a call an item"


def test_no_vote_keeps_the_first_answer(replies):
    model = replies(lambda messages, _: "no idea")
    (solved,) = self_consistency(lambda i: zero_shot(model), 3)(conversations_of(["a"]))
    assert solved.output == "no idea"
    assert majority([None, None]) is None
    assert majority(["b", "a", "a", "b"]) == "b", "ties go to the earliest"
    with pytest.raises(ValueError, match="one path"):
        self_consistency(lambda i: zero_shot(model), 0)


def test_chain_keeps_order(replies):
    def mark(text):
        return lambda batch: [c.noting(trace=c.meta.get("trace", "") + text) for c in batch]

    (solved,) = chain([mark("a"), mark("b"), chain([mark("c")])])(conversations_of(["q"]))
    assert solved.meta["trace"] == "abc"
