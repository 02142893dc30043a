"""A text read by the engine has the probabilities of one plain pass, piece by piece and beside others that write."""

from __future__ import annotations

import pytest
import torch

from fourfold.errors import FourfoldError
from fourfold.inference import LanguageModel, Sampling, Token, reading
from fourfold.models import build_model
from fourfold.models.ngram import train_ngram
from fourfold.tokenizers import byte_tokenizer

LENGTH = 600
"""More than two pieces."""


@pytest.fixture(params=["llama", "lstm", "5-gram"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    tokenizer = byte_tokenizer()
    if request.param == "5-gram":
        texts = [list(b"the cat sat on the mat and the cat sat on the hat")] * 3
        return LanguageModel(
            train_ngram(texts, order=5, vocabulary_size=tokenizer.vocabulary_size, bos_id=256), tokenizer
        )
    table = {"family": request.param, "layers": 2, "hidden_size": 16, "heads": 2, "context": 1024}
    return LanguageModel(build_model(table, tokenizer.vocabulary_size, seed=0).eval(), tokenizer)


def text() -> list[int]:
    return torch.randint(0, 256, (LENGTH,), generator=torch.Generator().manual_seed(3)).tolist()


def plain(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model.module(torch.tensor([ids]))[0][0, :-1].float().log_softmax(-1)


def test_a_text_is_read_in_pieces_as_in_one_pass_with_alternatives(model: LanguageModel) -> None:
    ids = text()
    *tokens, end = list(model.engine.submit(reading(model, [ids], alternatives=3)))
    expected = plain(model, ids)
    assert (end, [token.id for token in tokens]) == (Token(None, 0.0, "length"), ids[1:])
    told = torch.tensor([token.log_prob for token in tokens])
    torch.testing.assert_close(told, expected.gather(1, torch.tensor(ids[1:])[:, None])[:, 0], atol=1e-4, rtol=1e-4)
    best = torch.tensor([[value for _, value in token.alternatives] for token in tokens])
    torch.testing.assert_close(best, expected.topk(3).values, atol=1e-4, rtol=1e-4)


def test_what_texts_share_is_read_once_and_changes_nothing(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [[*text()[:400], *end] for end in ([1, 2, 3], [4], [1, 5, 6, 7])] + [[9, 8]]
    read, hidden = [], model.module.hidden
    monkeypatch.setattr(
        model.module, "hidden", lambda step, state=None: (read.append(step.ids.numel()), hidden(step, state))[1]
    )
    tokens = list(model.engine.submit(reading(model, texts)))[:-1]
    monkeypatch.undo()
    expected = torch.cat([plain(model, ids).gather(1, torch.tensor(ids[1:])[:, None])[:, 0] for ids in texts])
    told = torch.tensor([token.log_prob for token in tokens])
    torch.testing.assert_close(told, expected, atol=1e-4, rtol=1e-4)
    assert sum(read) < 420


def test_others_write_a_token_in_every_step_of_the_reading(model: LanguageModel) -> None:
    engine = model.engine
    prompt = model._feed.prompt([5, 6])
    writes = engine.submit(model.request(prompt, Sampling(seed=1, max_tokens=50), stop_ids=frozenset()))
    reads = engine.submit(reading(model, [text()]))
    steps = 0
    while not reads.ended:
        engine.step()
        assert len(writes.take()) == 1
        steps += 1
    assert steps == 4  # three pieces, and what they say
    writes.cancel()
    assert engine.counts().blocks_used == 0


def test_one_that_is_cancelled_or_fails_leaves_the_others_alone(model: LanguageModel) -> None:
    engine = model.engine
    first, second = engine.submit(reading(model, [text()])), engine.submit(reading(model, [text()[:20]]))
    first.cancel()
    assert len(list(second)) == 20
    if isinstance(model.module, torch.nn.Module) and any(True for _ in model.module.parameters()):
        with torch.no_grad():
            next(iter(model.module.parameters())).fill_(float("nan"))
        with pytest.raises(FourfoldError, match="not a number"):
            list(engine.submit(reading(model, [text()[:20]])))
