"""Scoring and decoding, checked against the slow way with full logits."""

from __future__ import annotations

import math

import pytest
import torch

from fourfold.errors import UserError
from fourfold.inference import LanguageModel, Sampling
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

SIZES = {"layers": 2, "hidden_size": 32, "heads": 4, "context": 48}


@pytest.fixture(params=["llama", "gpt2", "lstm"])
def model(request):
    tokenizer = byte_tokenizer()
    module = build_model({"family": request.param, **SIZES}, tokenizer.vocabulary_size, seed=1).eval()
    with torch.no_grad():  # sharper than a fresh model, so that greedy choices are no ties
        for parameter in module.parameters():
            parameter.mul_(3)
    return LanguageModel(module, tokenizer, name=request.param)


def full_log_probs(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits, _ = model.module(torch.tensor([ids]))
    return logits[0].double().log_softmax(-1)


def test_score_is_the_sum_of_log_probs_from_the_document_start(model):
    text = "Every byte is paid for. 汉字"
    score = model.score([text])[0]
    ids = [model.tokenizer.document_start_id, *model.tokenizer.encode(text)]
    table = full_log_probs(model, ids)
    expected = [table[i, ids[i + 1]].item() for i in range(len(ids) - 1)]
    assert score.log_probs == pytest.approx(expected, abs=1e-4)
    assert score.ids == ids[1:]
    assert score.bits_per_byte == pytest.approx(-sum(expected) / math.log(2) / len(text.encode()), abs=1e-5)
    assert (score.bytes, score.characters, score.stride) == (len(text.encode()), len(text), None)


def test_batch_of_texts_scores_as_alone(model):
    texts = ["a", "some words", "and a longer line of text"]
    together = model.score(texts)
    for text, score in zip(texts, together, strict=True):
        assert score.log_probs == pytest.approx(model.score([text])[0].log_probs, abs=1e-4)


def test_long_text_is_scored_once_in_windows():
    tokenizer = byte_tokenizer()
    model = LanguageModel(build_model({"family": "llama", **SIZES}, tokenizer.vocabulary_size).eval(), tokenizer)
    text = "0123456789" * 20
    score = model.score([text], stride=16)[0]
    ids = [tokenizer.document_start_id, *tokenizer.encode(text)]
    assert len(score.log_probs) == 200
    assert score.stride == 16
    first = full_log_probs(model, ids[:48])
    assert score.log_probs[47] == pytest.approx(first[47, ids[48]].item(), abs=1e-4)
    window = full_log_probs(model, ids[16:64])  # targets 49..64, each with at least 33 tokens before it
    assert score.log_probs[63] == pytest.approx(window[47, ids[64]].item(), abs=1e-4)


def test_log_likelihood_splits_where_the_context_ends(model):
    pairs = [("The sky is ", "blue"), ("", "blue"), ("Two", " words")]
    results = model.log_likelihood(pairs)
    for (context, continuation), result in zip(pairs, results, strict=True):
        stem = context.rstrip()
        ids = model.tokenizer.encode(context + continuation)
        start = len(model.tokenizer.encode(stem))
        if not stem:
            ids, start = [model.tokenizer.document_start_id, *ids], 1
        table = full_log_probs(model, ids)
        expected = sum(table[i - 1, ids[i]].item() for i in range(start, len(ids)))
        assert result.log_prob == pytest.approx(expected, abs=1e-3)
        assert result.tokens == len(ids) - start
        assert result.is_greedy == all(int(table[i - 1].argmax()) == ids[i] for i in range(start, len(ids)))


def test_greedy_generation_follows_the_argmax(model):
    prompts = ["ab", "a longer prompt", "x"]
    answers = model.generate(prompts, Sampling(max_tokens=12, temperature=0))
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = model.tokenizer.encode(prompt)
        for id, log_prob in zip(answer.ids, answer.log_probs, strict=True):
            table = full_log_probs(model, ids)[-1]
            assert int(table.argmax()) == id
            assert log_prob == pytest.approx(table[id].item(), abs=1e-3)
            ids.append(id)
        assert answer.prompt_tokens == len(model.tokenizer.encode(prompt))
        assert answer.finish_reason == ("length" if len(answer.ids) == 12 else "stop")


def test_a_seed_belongs_to_the_request(model):
    sampling = Sampling(max_tokens=10, temperature=1.0, seed=7)
    alone = model.generate(["abc"], sampling)[0]
    assert model.generate(["abc"], sampling)[0] == alone
    other = model.generate(["abc"], Sampling(max_tokens=10, temperature=1.0, seed=8))[0]
    assert other.ids != alone.ids


def test_streamed_pieces_are_the_generated_text(model):
    sampling = Sampling(max_tokens=20, temperature=0.9, seed=3)
    assert "".join(model.stream("abc", sampling)) == model.generate(["abc"], sampling)[0].text


def test_stop_strings_never_leak(model):
    free = model.generate(["abc"], Sampling(max_tokens=24, temperature=1.0, seed=5))[0].text
    stop = free[5:7]
    cut = model.generate(["abc"], Sampling(max_tokens=24, temperature=1.0, seed=5, stop=[stop]))[0]
    assert cut.text == free[: free.index(stop)]
    assert cut.finish_reason == "stop"
    streamed = "".join(model.stream("abc", Sampling(max_tokens=24, temperature=1.0, seed=5, stop=stop)))
    assert streamed == cut.text


def test_prompt_beyond_the_context_is_one_sentence():
    tokenizer = byte_tokenizer()
    model = LanguageModel(build_model({"family": "llama", **SIZES}, tokenizer.vocabulary_size).eval(), tokenizer)
    with pytest.raises(UserError, match="does not fit the model's context"):
        model.generate(["x" * 60], Sampling(max_tokens=4))


def test_length_is_bounded_by_the_context():
    tokenizer = byte_tokenizer()
    model = LanguageModel(
        build_model({"family": "llama", **SIZES}, tokenizer.vocabulary_size).eval(), tokenizer, stop_ids=frozenset()
    )
    answer = model.generate(["x" * 40], Sampling(max_tokens=100, temperature=0))[0]
    assert len(answer.ids) == 8
    assert answer.finish_reason == "length"


def test_chat_renders_the_template(model):
    messages = [{"role": "user", "content": "Hello"}]
    answer = model.chat(messages, Sampling(max_tokens=6, temperature=0))
    ids = model.tokenizer.encode_chat(messages)
    assert answer.prompt_tokens == len(ids)
    assert answer.ids[0] == int(full_log_probs(model, ids)[-1].argmax())


def test_several_answers_have_seeds_of_their_own(model):
    sampling = Sampling(max_tokens=10, temperature=1.0, seed=7, n=3, top_alternatives=2)
    first = model.generate(["abc", "x"], sampling)[0]
    seeds = [7, 8, 9]
    for seed, answer in zip(seeds, [first, *first.others], strict=True):
        assert answer.ids == model.generate(["abc"], Sampling(max_tokens=10, temperature=1.0, seed=seed))[0].ids
        assert [len(best) for best in answer.alternatives] == [2] * len(answer.ids)
    assert [answer.others for answer in first.others] == [[], []]


def test_a_stream_left_early_frees_its_place(model):
    stream = model.stream("abc", Sampling(max_tokens=20, temperature=0))
    next(stream)
    stream.close()
    counts = model.engine.counts()
    assert (counts.running, counts.waiting, counts.blocks_used) == (0, 0, 0)


def test_more_prompts_than_may_wait(model):
    prompts = [f"prompt {number}" for number in range(200)]
    answers = model.generate(prompts, Sampling(max_tokens=2, temperature=0))
    assert len(answers) == 200
    assert answers[150].prompt_tokens == len(model.tokenizer.encode("prompt 150"))
