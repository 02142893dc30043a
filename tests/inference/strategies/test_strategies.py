"""Beams by transformers, contrast by the slow way, speculation by the plain answer and by its frequencies."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from fourfold.errors import UserError
from fourfold.inference import Beam, BestOf, Contrastive, LanguageModel, Sampler, Sampling, Speculative, regex
from fourfold.inference.engine import Request, Token
from fourfold.inference.strategies import LookUp, ModelDraft, Speculation, beam_search, speculate
from fourfold.inference.strategies.contrastive import contrast
from fourfold.models import EncoderDecoder, Step, build_model
from fourfold.models.files import save_model
from fourfold.tokenizers import byte_tokenizer, train_byte_bpe

SIZES = {"layers": 2, "hidden_size": 32, "heads": 4, "context": 96}
CPU = torch.device("cpu")


def make_model(family: str, seed: int = 1, scale: float = 3.0) -> LanguageModel:
    tokenizer = byte_tokenizer()
    module = build_model({"family": family, **SIZES}, tokenizer.vocabulary_size, seed=seed).eval()
    with torch.no_grad():  # sharper than a fresh model
        for parameter in module.parameters():
            parameter.mul_(scale)
    return LanguageModel(module, tokenizer, name=family)


@pytest.fixture(params=["llama", "gpt2", "lstm"])
def model(request):
    return make_model(request.param)


def told(search) -> list[Token]:
    """The tokens of all its calls."""
    return [token for tokens in search for token in tokens]


def without_end(model: LanguageModel) -> LanguageModel:
    return LanguageModel(model.module, model.tokenizer, stop_ids=frozenset())


# ---- beam search


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -1.0, 2.0])
@pytest.mark.parametrize("early", [False, True])
def test_beam_search_is_that_of_transformers(tmp_path_factory, size, length_penalty, early):
    transformers = pytest.importorskip("transformers")
    model = make_model("llama", seed=2, scale=2.0)
    folder = tmp_path_factory.mktemp("beam")
    save_model(model.module, folder)
    other = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for prompt in ("abc", "some longer text"):
        ids = model.tokenizer.encode(prompt)
        probable = model.module(torch.tensor([ids]))[0][0, -1].topk(30).indices.tolist()
        for stop_ids in (frozenset(probable[2:4]), frozenset(probable[10:30])):
            expected = other.generate(
                torch.tensor([ids]), num_beams=size, do_sample=False, max_new_tokens=12, length_penalty=length_penalty,
                early_stopping=early, eos_token_id=sorted(stop_ids), pad_token_id=0,
            )[0, len(ids) :].tolist()  # fmt: skip
            at = next((place for place, id in enumerate(expected) if id in stop_ids), len(expected))
            request = Request(ids=ids, max_tokens=12, sampler=Sampler(Sampling()), stop_ids=stop_ids)
            asked = Beam(size=size, length_penalty=length_penalty, early=early)
            with torch.inference_mode():
                tokens = told(beam_search(model.module, request, asked, CPU))
            assert [token.id for token in tokens[:-1]] == expected[:at]
            assert tokens[-1].finish_reason == ("stop" if at < len(expected) else "length")


def test_a_beam_of_one_is_greedy(model):
    greedy = model.generate(["abc"], Sampling(max_tokens=12, temperature=0))[0]
    beam = model.generate(["abc"], Sampling(max_tokens=12, strategy=Beam(size=1)))[0]
    assert (beam.ids, beam.finish_reason) == (greedy.ids, greedy.finish_reason)
    assert beam.log_probs == pytest.approx(greedy.log_probs, abs=1e-4)


def test_a_wide_beam_finds_what_is_more_probable(model):
    model = without_end(model)
    narrow, wide = (model.generate(["abc"], Sampling(max_tokens=8, strategy=Beam(size=size)))[0] for size in (1, 64))
    assert sum(wide.log_probs) >= sum(narrow.log_probs) - 1e-4


# ---- contrastive search


def test_contrast_by_hand():
    hidden, context = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[3.0, 0], [1, 1]])
    found = contrast(torch.tensor([0.5, 0.25]), hidden, context, 0.6)
    assert found.tolist() == pytest.approx([0.4 * 0.5 - 0.6 * 1, 0.4 * 0.25 - 0.6 * 0.5**0.5])


def test_contrastive_search_is_the_slow_way(model):
    model = without_end(model)
    ids = model.tokenizer.encode("abcd")
    answer = model.generate(["abcd"], Sampling(max_tokens=10, strategy=Contrastive(alpha=0.5, k=3)))[0]
    with torch.inference_mode():
        for made in answer.ids:
            logits = model.module.logits(model.module.hidden(Step(ids=torch.tensor([ids]))))[0, -1]
            best = logits.softmax(-1).topk(3)
            scores = []
            for probability, id in zip(best.values, best.indices.tolist(), strict=True):
                hidden = model.module.hidden(Step(ids=torch.tensor([[*ids, id]])))[0]
                like = max(torch.cosine_similarity(hidden[-1], past, dim=0) for past in hidden[:-1])
                scores.append(0.5 * probability - 0.5 * like)
            assert made == best.indices[torch.stack(scores).argmax()]
            ids.append(made)


# ---- speculation


@pytest.mark.parametrize("tokens", [1, 4, 9])
@pytest.mark.parametrize("prompt", ["abcabcabcabc", "x", "no repetition"])
def test_greedy_speculation_is_greedy(model, tokens, prompt):
    plain = model.generate([prompt], Sampling(max_tokens=40, temperature=0, top_alternatives=2))[0]
    own, other = model, make_model("gpt2", seed=9)
    for draft in (None, own, other):
        strategy = Speculative(draft=draft, tokens=tokens)
        sampling = Sampling(max_tokens=40, temperature=0, strategy=strategy, top_alternatives=2)
        found = model.generate([prompt], sampling)[0]
        assert (found.ids, found.text, found.finish_reason) == (plain.ids, plain.text, plain.finish_reason)
        assert found.log_probs == pytest.approx(plain.log_probs, abs=1e-3)
        assert [[id for id, _ in best] for best in found.alternatives] == [
            [id for id, _ in best] for best in plain.alternatives
        ]


def test_a_model_that_guesses_for_itself_is_always_right():
    model = without_end(make_model("llama"))
    ids = model.tokenizer.encode("abc")
    for temperature in (0.0, 1.0):
        sampler, counts = Sampler(Sampling(temperature=temperature, seed=4)), Speculation()
        request = Request(ids=ids, max_tokens=21, sampler=sampler)
        with torch.inference_mode():
            draft = ModelDraft(model.module, request, sampler, CPU, 4)
            told(speculate(model.module, request, sampler, draft, 4, CPU, counts))
        assert counts.acceptance > 0.98
        assert counts.calls == 4


def test_speculation_keeps_penalties_and_forms():
    pytest.importorskip("llguidance")
    model = make_model("llama")
    for options in ({"repetition_penalty": 1.5, "frequency_penalty": 0.5}, {"constraint": regex("(ab|cd|e){9}")}):
        plain = model.generate(["ababab"], Sampling(max_tokens=40, temperature=0, **options))[0]
        for draft in (None, make_model("gpt2", seed=9)):
            sampling = Sampling(max_tokens=40, temperature=0, strategy=Speculative(draft=draft, tokens=4), **options)
            assert model.generate(["ababab"], sampling)[0].ids == plain.ids


@pytest.mark.parametrize("kind", ["look-up", "draft"])
def test_speculation_keeps_the_distribution(kind):
    """Chi-square of 800 answers of three tokens against the model's own probabilities; 1 in 1,000 by chance."""
    model, small = make_model("llama", seed=5, scale=1.5), make_model("gpt2", seed=6, scale=1.5)
    ids = model.tokenizer.encode("aabaabaa")
    options = {"temperature": 0.8, "top_k": 3}
    counts, guesses = Counter[tuple[int | None, ...]](), Speculation()
    with torch.inference_mode():
        for seed in range(800):
            sampler = Sampler(Sampling(seed=seed, **options))
            request = Request(ids=ids, max_tokens=3, sampler=sampler)
            source = LookUp() if kind == "look-up" else ModelDraft(small.module, request, sampler, CPU, 3)
            tokens = told(speculate(model.module, request, sampler, source, 3, CPU, guesses))
            counts[tuple(token.id for token in tokens if token.id is not None)[:3]] += 1
    expected = _distribution(model, ids, Sampler(Sampling(**options)), 3)
    assert sum(expected.values()) == pytest.approx(1, abs=1e-4)
    assert counts.keys() <= expected.keys()
    if kind == "draft":
        assert 0.1 < guesses.acceptance < 0.99
    statistic = sum((counts[key] - 800 * p) ** 2 / (800 * p) for key, p in expected.items())
    degrees = len(expected) - 1
    assert statistic < degrees + 3.3 * (2 * degrees) ** 0.5


def _distribution(model: LanguageModel, ids: list[int], sampler: Sampler, tokens: int) -> dict[tuple[int, ...], float]:
    """Every answer of so many tokens with its probability."""
    found = {(): 1.0}
    with torch.inference_mode():
        for _ in range(tokens):
            longer = {}
            for answer, chance in found.items():
                logits = model.module(torch.tensor([[*ids, *answer]]))[0][0, -1]
                row = sampler.distribution(logits)
                longer |= {(*answer, id): chance * float(row[id]) for id in row.nonzero().flatten().tolist()}
            found = longer
    return found


def test_look_up_finds_what_followed_last():
    source = LookUp()
    assert source.guess([1, 2, 3, 9, 1, 2, 3], [], 3).ids == [9, 1, 2]
    assert source.guess([1, 2, 3, 9, 1, 2, 3], [9], 2).ids == [1, 2]
    assert source.guess([1, 2, 3, 9, 1, 2, 3], [9, 7], 2).ids == []
    assert source.guess([1, 2, 3, 9, 1, 2, 3], [9, 7, 9, 7], 2).ids == [9, 7]


def test_a_draft_of_another_tokenizer_is_refused():
    other = train_byte_bpe(["some text"] * 5, vocabulary_size=270)
    small = LanguageModel(build_model({"family": "llama", **SIZES}, other.vocabulary_size).eval(), other)
    with pytest.raises(UserError, match="another tokenizer"):
        make_model("llama").generate(["x"], Sampling(strategy=Speculative(draft=small)))


# ---- the rest


def test_best_of_is_the_most_probable_of_the_samples(model):
    options = {"max_tokens": 8, "temperature": 1.0, "seed": 3}
    plain = model.generate(["abc"], Sampling(n=5, **options))[0]
    means = {sum(a.log_probs) / max(len(a.log_probs), 1): a.ids for a in (plain, *plain.others)}
    best = model.generate(["abc"], Sampling(n=2, strategy=BestOf(count=5), **options))[0]
    assert [best.ids, *(other.ids for other in best.others)] == [means[m] for m in sorted(means, reverse=True)[:2]]
    assert "".join(model.stream("abc", Sampling(strategy=BestOf(count=5), **options))) == best.text


@pytest.mark.parametrize("strategy", [Beam(size=3), Contrastive(k=3), Speculative(tokens=3)], ids=str)
def test_streams_stop_strings_and_encoder_decoders(strategy):
    model = without_end(make_model("llama"))
    sampling = Sampling(max_tokens=20, temperature=0, strategy=strategy)
    whole = model.generate(["abcabc"], sampling)[0]
    assert "".join(model.stream("abcabc", sampling)) == whole.text
    stop = whole.text[4:6]
    cut = model.generate(["abcabc"], Sampling(max_tokens=20, temperature=0, strategy=strategy, stop=[stop]))[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    with pytest.raises(UserError, match="does not fit the model's context"):
        model.generate(["x" * 96], sampling)
    tokenizer = byte_tokenizer()
    sizes = {"family": "t5", "layers": 1, "hidden_size": 16, "heads": 2, "context": 64}
    module = build_model(sizes, tokenizer.vocabulary_size, seed=1).eval()
    assert isinstance(module, EncoderDecoder)
    answer = LanguageModel(module, tokenizer).generate(
        ["abc"], Sampling(max_tokens=6, temperature=0, strategy=strategy)
    )
    assert len(answer[0].ids) <= 6


@pytest.mark.parametrize("options", [{"logit_bias": {1: 1.0}}, {"n": 2}, {"constraint": regex("a")}])
@pytest.mark.parametrize("strategy", [Beam(), Contrastive()])
def test_what_a_search_cannot_obey_is_refused(strategy, options):
    with pytest.raises(UserError, match="takes no constraint"):
        Sampling(strategy=strategy, **options)


@pytest.mark.parametrize(
    "make", [lambda: Beam(size=0), lambda: Contrastive(alpha=2), lambda: Speculative(tokens=0), lambda: BestOf(count=1)]
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(UserError, match="out of range"):
        Sampling(strategy=make())
