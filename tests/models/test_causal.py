"""What every gradient-trained causal model promises, checked on each family."""

from __future__ import annotations

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import FAMILIES, Step, TransformerLM, build_model, count_parameters, parameter_count

VOCABULARY = 61
TABLE = {"layers": 2, "hidden_size": 32, "heads": 4, "kv_heads": 2, "context": 32}
FAMILY_NAMES = sorted(FAMILIES.keys() - {"bert", "elmo"})  # those that write


def make(family: str):
    return build_model({"family": family, **TABLE}, VOCABULARY, seed=3).eval()


def random_ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_cached_equals_whole(family):
    model, ids = make(family), random_ids(3, 20)
    whole, _ = model(ids)
    state = model.new_state(3, 32)
    parts = [model.logits(model.hidden(Step(ids=ids[:, a:b]), state)) for a, b in ((0, 7), (7, 8), (8, 20))]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)
    assert state.lengths.tolist() == [20] * 3


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_ragged_rows_equal_rows_alone(family):
    model, ids = make(family), random_ids(3, 12)
    lengths = torch.tensor([12, 5, 8])
    state = model.new_state(3, 32)
    first = model.hidden(Step(ids=ids, lengths=lengths), state)
    more = random_ids(3, 2)
    second = model.hidden(Step(ids=more), state)
    for row, length in enumerate(lengths.tolist()):
        alone = torch.cat((ids[row : row + 1, :length], more[row : row + 1]), 1)
        expected = model.hidden(Step(ids=alone))[0]
        got = torch.cat((first[row, :length], second[row]))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_packed_documents_equal_documents_alone(family):
    model, ids = make(family), random_ids(2, 16)
    documents = torch.tensor([[0] * 5 + [1] * 11, [4] * 15 + [5]])
    packed = model.hidden(Step(ids=ids, documents=documents))
    for row, start, end in ((0, 0, 5), (0, 5, 16), (1, 0, 15), (1, 15, 16)):
        alone = model.hidden(Step(ids=ids[row : row + 1, start:end]))[0]
        torch.testing.assert_close(packed[row, start:end], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_fork_continues_and_then_lives_apart(family):
    model, ids = make(family), random_ids(2, 6)
    state = model.new_state(2, 32)
    model.hidden(Step(ids=ids), state)
    forked = state.fork(torch.tensor([1, 1, 0]))
    after = model.hidden(Step(ids=random_ids(3, 1)), forked)
    assert state.lengths.tolist() == [6, 6]
    assert forked.lengths.tolist() == [7, 7, 7]
    same = model.hidden(Step(ids=random_ids(3, 1)), state.fork(torch.tensor([1, 1, 0])))
    torch.testing.assert_close(after, same)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_truncate_forgets_the_last_call(family):
    model, ids = make(family), random_ids(2, 6)
    state = model.new_state(2, 32)
    model.hidden(Step(ids=ids), state)
    expected = model.hidden(Step(ids=ids[:, :1]), state.fork(torch.arange(2)))
    model.hidden(Step(ids=random_ids(2, 3)), state)
    state.truncate(torch.tensor([6, 6]))
    torch.testing.assert_close(model.hidden(Step(ids=ids[:, :1]), state), expected)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_counts_parameters_without_allocating(family):
    assert parameter_count({"family": family, **TABLE}, VOCABULARY) == count_parameters(make(family))


def test_future_tokens_are_not_seen():
    model, ids = make("llama"), random_ids(1, 10)
    changed = ids.clone()
    changed[0, 6:] = (changed[0, 6:] + 1) % VOCABULARY
    torch.testing.assert_close(model(ids)[0][:, :6], model(changed)[0][:, :6])


def test_equal_seeds_give_equal_weights():
    first, second = make("llama"), make("llama")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_context_overflow_is_one_sentence():
    model = make("llama")
    state = model.new_state(1, 8)
    model.hidden(Step(ids=random_ids(1, 6)), state)
    with pytest.raises(UserError, match="longer than the context"):
        model.hidden(Step(ids=random_ids(1, 3)), state)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"family": "lama"}, "Did you mean 'llama'"),
        ({"family": "llama", "layer": 2}, "Did you mean 'layers'"),
        ({"family": "llama", "layers": 0}, "layers is out of range"),
        ({"family": "llama", "hidden_size": 30, "heads": 4}, "does not split"),
        ({"family": "llama", "heads": 4, "kv_heads": 3}, "multiple of kv_heads"),
        ({"family": "llama", "layers": "two"}, "wrong type"),
    ],
)
def test_bad_tables_are_refused(table, message):
    with pytest.raises(UserError, match=message):
        build_model(table, VOCABULARY)


def test_deltas_act_by_prefix_and_by_row():
    from fourfold.models import LowRankDelta

    model, ids = make("llama"), random_ids(2, 4)
    assert isinstance(model, TransformerLM)
    plain = model.hidden(Step(ids=ids))
    query = model.stack.layers[0].attention.query
    for seed in (1, 2):
        delta = LowRankDelta(query.in_size, query.out_size, rank=2, scale=1.0)
        torch.nn.init.normal_(delta.down, generator=torch.Generator().manual_seed(seed))
        torch.nn.init.normal_(delta.up, generator=torch.Generator().manual_seed(seed + 9))
        query.deltas.append(delta)
    torch.testing.assert_close(model.hidden(Step(ids=ids, adapters=0)), plain)
    both, first = (model.hidden(Step(ids=ids, adapters=n)) for n in (None, 1))
    assert not torch.allclose(both, first)
    gates = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    mixed = model.hidden(Step(ids=ids, adapters=gates))
    torch.testing.assert_close(mixed[0], first[0])
    torch.testing.assert_close(mixed[1], both[1])
