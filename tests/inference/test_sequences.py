"""Encoder-decoders and prefix decoders ready for text, against `transformers` and against full logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors

import fourfold
from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.inference import LanguageModel, Sampling
from fourfold.models import CausalLM, EncoderDecoder, Step, TransformerConfig, TransformerLM
from fourfold.models.files import load_model
from fourfold.models.transformer import Attention, FeedForward
from fourfold.tokenizers import Tokenizer, byte_tokenizer

PROMPTS = ["abc", "a longer prompt to read", "x", ""]
BYTES = byte_tokenizer()
START, END, PADDING = 256, 257, 258


def tokenizer() -> Tokenizer:
    """Bytes with an end token, as T5 ends a text."""
    core = BYTES.core_copy()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return Tokenizer(core, bos="<s>", eos="</s>", pad="<pad>")


T5 = {
    "vocab_size": 260, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": PADDING,
    "eos_token_id": END, "decoder_start_token_id": START, "relative_attention_num_buckets": 8,
}  # fmt: skip
BART = {
    "vocab_size": 260, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "bos_token_id": START, "eos_token_id": END, "pad_token_id": PADDING, "decoder_start_token_id": END,
    "forced_eos_token_id": None, "forced_bos_token_id": None,
}  # fmt: skip


@pytest.fixture(scope="module", params=["t5", "bart"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, Any, Path]:
    """Ours and theirs, weights large enough for clear choices."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    if request.param == "t5":
        theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**T5))
    else:
        theirs = transformers.BartForConditionalGeneration(transformers.BartConfig(**BART))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            size = 0.05 if "shared" in name else 0.4  # a tied head repeats what the embeddings say loudly
            parameter.copy_(size * noise if parameter.dim() > 1 else parameter + 0.2 * noise)
    folder = tmp_path_factory.mktemp(request.param) / "model"
    theirs.eval().save_pretrained(folder)
    tokenizer().save(folder)
    ours = fourfold.load(folder)
    assert isinstance(ours, LanguageModel)
    assert isinstance(ours.module, EncoderDecoder)
    return ours, theirs, folder


def table_of(model: LanguageModel, source: list[int], ids: list[int]) -> torch.Tensor:
    """(T, V) log-probabilities, the slow way."""
    with torch.no_grad():
        hidden = model.module.hidden(Step(ids=torch.tensor([ids]), source=torch.tensor([source])))
        return model.module.logits(hidden)[0].double().log_softmax(-1)


def test_greedy_text_is_theirs(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, theirs, _ = pair
    answers = ours.generate(PROMPTS, Sampling(max_tokens=16, temperature=0))
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = torch.tensor([ours.tokenizer.encode(prompt)])
        made = theirs.generate(ids, max_new_tokens=16, do_sample=False, num_beams=1)[0, 1:].tolist()
        assert answer.ids == [id for id in made if id != END]
        assert answer.prompt_tokens == ids.shape[1]
        assert answer.finish_reason == ("stop" if END in made else "length")
    assert len({answer.text for answer in answers}) > 1, "the source makes no difference"


def test_rows_that_end_early_leave_the_others_their_source(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, _, _ = pair
    assert ours.defaults.temperature == 0, "answers are greedy unless the folder says otherwise"
    samplings = [Sampling(max_tokens=count, temperature=0) for count in (9, 2, 14, 5)]
    together = ours.generate(PROMPTS, samplings)
    for prompt, sampling, answer in zip(PROMPTS, samplings, together, strict=True):
        assert ours.generate([prompt], sampling)[0].ids == answer.ids


def test_log_probs_are_those_of_whole_passes(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, _, _ = pair
    start = ours.module.config.decoder_start_id
    answer = ours.generate(["abc"], Sampling(max_tokens=12, temperature=1.0, seed=2))[0]
    table = table_of(ours, ours.tokenizer.encode("abc"), [start, *answer.ids])
    expected = [table[place, id].item() for place, id in enumerate(answer.ids)]
    assert answer.log_probs == pytest.approx(expected, abs=1e-3)
    streamed = "".join(ours.stream("abc", Sampling(max_tokens=12, temperature=1.0, seed=2)))
    assert streamed == answer.text


def test_a_continuation_is_scored_as_the_target_of_its_context(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, theirs, _ = pair
    start = ours.module.config.decoder_start_id
    pairs = [("abc", "de"), ("a longer context", "x"), ("", "word")]
    for (context, continuation), found in zip(pairs, ours.log_likelihood(pairs), strict=True):
        source, target = ours.tokenizer.encode(context), ours.tokenizer.encode(continuation)
        table = table_of(ours, source, [start, *target[:-1]])
        assert found.log_prob == pytest.approx(
            sum(table[place, id].item() for place, id in enumerate(target)), abs=1e-3
        )
        assert found.tokens == len(target) == len(continuation) + 1
        assert found.is_greedy == all(int(table[place].argmax()) == id for place, id in enumerate(target))
        with torch.no_grad():
            loss = theirs(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss
        assert found.log_prob == pytest.approx(-loss.item() * len(target), abs=1e-3)


def test_a_text_alone_is_scored_under_an_empty_source(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, _, _ = pair
    config = ours.module.config
    long = "0123456789" * (6 if config.context == 64 else 52)
    short, cut = ours.score(["some text", long + "abcdef"])
    ids = ours.tokenizer.encode("some text")
    table = table_of(ours, list(config.empty_source), [config.decoder_start_id, *ids])
    assert short.log_probs == pytest.approx([table[place, id].item() for place, id in enumerate(ids)], abs=1e-3)
    assert (short.ids, short.stride) == (ids, None)
    assert len(cut.log_probs) == len(long) + 7
    assert cut.stride == config.context // 2


def test_a_saved_model_comes_back(pair: tuple[LanguageModel, Any, Path], tmp_path: Path) -> None:
    ours, _, _ = pair
    ours.save(tmp_path / "model")
    again = fourfold.load(tmp_path / "model")
    assert isinstance(again, LanguageModel)
    assert again.log_likelihood([("ab", "c")]) == ours.log_likelihood([("ab", "c")])
    assert again.capabilities == {"generate", "score", "log_likelihood"}


def test_answers_may_have_to_begin_with_a_token(pair: tuple[LanguageModel, Any, Path], tmp_path: Path) -> None:
    """As in BART's summaries; old folders say so in config.json."""
    ours, theirs, folder = pair
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "generation_config.json").unlink()
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"forced_bos_token_id": 65})
    forced = fourfold.load(tmp_path)
    assert isinstance(forced, LanguageModel)
    answer = forced.generate(["abc"], Sampling(max_tokens=8, temperature=0))[0]
    ids = torch.tensor([ours.tokenizer.encode("abc")])
    made = theirs.generate(ids, max_new_tokens=9, do_sample=False, num_beams=1, forced_bos_token_id=65)[0].tolist()
    assert [id for id in made[2:] if id != END] == answer.ids
    forced.save(tmp_path / "again")
    again = fourfold.load(tmp_path / "again")
    assert isinstance(again, LanguageModel)
    assert again.answer_start == (65,)


def test_what_does_not_fit_is_one_sentence(pair: tuple[LanguageModel, Any, Path]) -> None:
    ours, _, _ = pair
    with pytest.raises(UserError, match="does not fit the encoder's context"):
        ours.generate(["x" * 600])
    with pytest.raises(UserError, match="longer than the decoder's context"):
        ours.log_likelihood([("a", "x" * 600)])
    bounded = ours.generate(["ab"], Sampling(max_tokens=1000, temperature=0))[0]
    assert len(bounded.ids) < ours.module.config.context


@pytest.fixture
def prefix() -> LanguageModel:
    config = TransformerConfig(
        vocabulary_size=260,
        hidden_size=32,
        layers=2,
        context=48,
        attention=Attention(heads=4),
        feed_forward=FeedForward(size=48),
        mask="prefix",
    )
    module = TransformerLM(config)
    module.initialise(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(4)
    return LanguageModel(module.eval(), BYTES)


def prefix_table(module: CausalLM, ids: list[int], seen: int) -> torch.Tensor:
    prefix = torch.arange(len(ids))[None] < seen
    with torch.no_grad():
        return module.logits(module.hidden(Step(ids=torch.tensor([ids]), prefix=prefix)))[0].double().log_softmax(-1)


def test_a_prefix_decoder_sees_its_prompt_whole(prefix: LanguageModel) -> None:
    prompts = ["some prompt", "ab"]
    for prompt, answer in zip(prompts, prefix.generate(prompts, Sampling(max_tokens=8, temperature=0)), strict=True):
        ids = prefix.tokenizer.encode(prompt)
        seen = len(ids)
        for id in answer.ids:
            assert int(prefix_table(prefix.module, ids, seen)[-1].argmax()) == id
            ids.append(id)
    whole, causal = (prefix_table(prefix.module, prefix.tokenizer.encode(prompts[0]), seen)[-1] for seen in (11, 0))
    assert not torch.allclose(whole, causal)


def test_a_prefix_decoder_scores_a_continuation_after_its_whole_context(prefix: LanguageModel) -> None:
    (found, other) = prefix.log_likelihood([("The sky is", " blue"), ("", "blue")])
    ids = prefix.tokenizer.encode("The sky is blue")
    table = prefix_table(prefix.module, ids, 10)
    assert found.log_prob == pytest.approx(
        sum(table[place - 1, ids[place]].item() for place in range(10, 15)), abs=1e-3
    )
    alone = [prefix.tokenizer.document_start_id or 0, *prefix.tokenizer.encode("blue")]
    table = prefix_table(prefix.module, alone, 1)
    assert other.log_prob == pytest.approx(
        sum(table[place - 1, alone[place]].item() for place in range(1, 5)), abs=1e-3
    )


def test_the_folder_is_an_encoder_decoder(pair: tuple[LanguageModel, Any, Path]) -> None:
    assert isinstance(load_model(pair[2]), EncoderDecoder)
