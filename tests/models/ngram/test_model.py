import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.models import CausalLM, DirectScorer, Step
from fourfold.models.ngram import load_ngram, save_ngram, train_ngram

V = 11


def make(order=4):
    random = np.random.default_rng(0)
    texts = [1 + random.geometric(0.3, random.integers(1, 20)).clip(max=V - 2) for _ in range(60)]
    return train_ngram(texts, order=order, vocabulary_size=V, bos_id=0, eos_id=0)


MODEL = make()


def random_ids(rows=3, length=20, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, V, (rows, length)))


def test_it_keeps_the_protocols():
    assert isinstance(MODEL, CausalLM)
    assert isinstance(MODEL, DirectScorer)
    assert (MODEL.vocabulary_size, MODEL.context, MODEL.order) == (V, None, 4)


def test_direct_scores_are_the_logits():
    ids = random_ids()
    logits, state = MODEL(ids)
    assert logits.shape == (3, 20, V)
    assert state.lengths.tolist() == [20] * 3
    for targets in (ids.roll(-1, 1), random_ids(seed=1)):
        direct = MODEL.target_log_probs(Step(ids=ids), targets)
        expected = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
        torch.testing.assert_close(direct, expected, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(1, 19), max_size=4), order=st.integers(1, 5))
def test_pieces_are_the_whole(cuts, order):
    model = make(order) if order != 4 else MODEL
    ids = random_ids(2)
    whole, _ = model(ids)
    state = model.new_state(2, 4)  # too small on purpose: it grows
    bounds = [0, *sorted(set(cuts)), 20]
    pieces = [model(ids[:, a:b], state)[0] for a, b in itertools.pairwise(bounds)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=0, rtol=0)


def test_ragged_rows_equal_each_row_alone():
    ids, lengths = random_ids(4), torch.tensor([20, 3, 0, 11])
    padded = torch.where(torch.arange(20) < lengths[:, None], ids, -100)
    state = MODEL.new_state(4, 30)
    logits = MODEL.logits(MODEL.hidden(Step(ids=padded, lengths=lengths), state))
    assert state.lengths.tolist() == lengths.tolist()
    more, _ = MODEL(random_ids(4, 5, seed=2), state)
    for row, length in enumerate(lengths.tolist()):
        alone = torch.cat([ids[row, :length], random_ids(4, 5, seed=2)[row]])[None]
        expected, _ = MODEL(alone)
        torch.testing.assert_close(torch.cat([logits[row, :length], more[row]]), expected[0], atol=0, rtol=0)


def test_fork_and_truncate():
    ids = random_ids(2)
    state = MODEL.new_state(2, 40)
    MODEL(ids, state)
    other = state.fork(torch.tensor([1, 1, 0]))
    assert other.lengths.tolist() == [20, 20, 20]
    other.truncate(torch.tensor([0, 7, 20]))
    after, _ = MODEL(torch.tensor([[4], [5], [6]]), other)
    for row, seen in enumerate([[4], [*ids[1, :7].tolist(), 5], [*ids[0].tolist(), 6]]):
        torch.testing.assert_close(after[row, -1], MODEL(torch.tensor([seen]))[0][0, -1], atol=0, rtol=0)
    assert state.lengths.tolist() == [20, 20]
    assert other.lengths.tolist() == [1, 8, 21]
    with pytest.raises(ValueError, match="truncate to at most"):
        state.truncate(torch.tensor([21, 0]))
    state.free()
    assert len(state.lengths) == 0


def test_packed_documents_do_not_see_each_other():
    ids = random_ids(1, 12)
    documents = torch.tensor([[0] * 5 + [1] * 7])
    packed = MODEL.logits(MODEL.hidden(Step(ids=ids, documents=documents)))
    apart = torch.cat([MODEL(ids[:, :5])[0], MODEL(ids[:, 5:])[0]], 1)
    torch.testing.assert_close(packed, apart, atol=0, rtol=0)
    targets = ids.roll(-1, 1)
    direct = MODEL.target_log_probs(Step(ids=ids, documents=documents), targets)
    torch.testing.assert_close(direct, packed.gather(-1, targets[..., None])[..., 0], atol=1e-6, rtol=0)


def test_ignored_targets_cost_nothing():
    ids, targets = random_ids(1, 6), torch.tensor([[-100, 3, -100, -1, 2, 1]])
    scores = MODEL.target_log_probs(Step(ids=ids, lengths=torch.tensor([5])), targets)
    assert (scores != 0).tolist() == [[False, True, False, False, True, False]]


@pytest.mark.parametrize("wrong", [-1, V, 1 << 40])
def test_ids_out_of_range(wrong):
    with pytest.raises(UserError, match="token id out of range, expected 0 to 10"):
        MODEL(torch.tensor([[1, wrong]]))
    if wrong > 0:
        with pytest.raises(UserError, match="token id out of range"):
            MODEL.target_log_probs(Step(ids=torch.tensor([[1]])), torch.tensor([[wrong]]))


def test_other_precisions_leave_it_alone():
    model = make(3)
    before, _ = model(random_ids())
    after, _ = model.to(torch.bfloat16)(random_ids())
    assert torch.equal(before, after)


def test_saved_and_mapped_back(tmp_path):
    save_ngram(MODEL, tmp_path / "model")
    again = load_ngram(tmp_path / "model")
    assert again.config == MODEL.config
    assert json.loads((tmp_path / "model" / "config.json").read_text())["model_type"] == "fourfold-ngram"
    for one, two in zip(MODEL.trie, again.trie, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype
    assert torch.equal(again(random_ids())[0], MODEL(random_ids())[0])
    save_ngram(MODEL, tmp_path / "model")


def damage(change):
    def apply(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    return apply


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "config.json").unlink(), "no such file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "damaged or cut"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
            "damaged or cut",
        ),
        (damage({"model_type": "llama"}), "not an n-gram model"),
        (damage({"ngrams": [1, 2, 3, 4]}), "does not fit config.json"),
        (damage({"vocabulary_size": 12}), "does not fit config.json"),
        (damage({"order": 3}), "does not fit config.json"),
    ],
)
def test_a_damaged_folder_is_one_sentence(tmp_path, spoil, sentence):
    save_ngram(MODEL, tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=sentence):
        load_ngram(tmp_path)
