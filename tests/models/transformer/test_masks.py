"""Who sees whom, read off by changing one token and watching which hidden states move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fourfold.models import Step, Trace, TransformerConfig, TransformerLM
from fourfold.models.transformer import ALiBi, Attention, Packed, Relative, look
from fourfold.models.transformer.positions import RelativeEncoding, alibi_slopes
from tests.models.transformer.axes import BASE

LENGTH = 8
ONE_LAYER = replace(BASE, layers=1)


def influence(config: TransformerConfig, **fields: torch.Tensor) -> list[str]:
    """One string a query: `x` where changing the key's token changes the query's hidden state."""
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    model.eval()
    ids = torch.arange(LENGTH)[None]
    seen = torch.zeros(LENGTH, LENGTH, dtype=torch.bool)
    with torch.no_grad():
        before = model.hidden(Step(ids=ids, **fields))[0]
        for key in range(LENGTH):
            changed = ids.clone()
            changed[0, key] = 40
            after = model.hidden(Step(ids=changed, **fields))[0]
            seen[:, key] = (after != before).any(-1)
    return ["".join("x" if look else "." for look in row) for row in seen]


def test_causal() -> None:
    assert influence(ONE_LAYER) == ["x" * (q + 1) + "." * (LENGTH - q - 1) for q in range(LENGTH)]


def test_prefix_is_seen_whole() -> None:
    prefix = torch.tensor([[True] * 3 + [False] * 5])
    seen = influence(replace(ONE_LAYER, mask="prefix"), prefix=prefix)
    assert seen == ["xxx.....", "xxx.....", "xxx.....", "xxxx....", "xxxxx...", "xxxxxx..", "xxxxxxx.", "xxxxxxxx"]


def test_prefixes_of_packed_documents() -> None:
    documents = torch.tensor([[0] * 4 + [1] * 4])
    prefix = torch.tensor([[True, True, False, False] * 2])
    seen = influence(replace(ONE_LAYER, mask="prefix"), prefix=prefix, documents=documents)
    assert seen[:4] == ["xx......", "xx......", "xxx.....", "xxxx...."]
    assert seen[4:] == ["....xx..", "....xx..", "....xxx.", "....xxxx"]


def test_window() -> None:
    narrow = replace(ONE_LAYER, attention=Attention(heads=4, windows=(3,)))
    assert influence(narrow) == [
        "x.......", "xx......", "xxx.....", ".xxx....", "..xxx...", "...xxx..", "....xxx.", ".....xxx",
    ]  # fmt: skip
    both_ways = influence(replace(narrow, mask="bidirectional"))
    assert both_ways[0] == "xxx....."
    assert both_ways[4] == "..xxxxx."


def test_bidirectional_without_padding() -> None:
    seen = influence(replace(ONE_LAYER, mask="bidirectional"), lengths=torch.tensor([5]))
    assert seen[:5] == ["xxxxx..."] * 5


def test_packing_makes_no_dense_mask() -> None:
    ids = torch.zeros(1, 4096, dtype=torch.int64)
    documents = torch.arange(4096)[None] // 16
    sight = look("causal", Step(ids=ids, documents=documents), None, None, None, False)
    assert isinstance(sight, Packed)
    assert len(sight.documents) == 256
    assert sight.sight(sight.documents[0]).mask is None
    prefixed = look("prefix", Step(ids=ids, documents=documents, prefix=documents > 1), None, None, None, False)
    assert isinstance(prefixed, Packed)
    assert {prefixed.sight(document).mask.shape for document in prefixed.documents} == {(1, 1, 16, 16)}


def test_a_trace_records_what_was_asked() -> None:
    model = TransformerLM(BASE)
    model.initialise(torch.Generator().manual_seed(0))
    ids = torch.arange(6)[None]
    trace = Trace(hidden=[], attention=[])
    last = model.hidden(Step(ids=ids, trace=trace))
    assert trace.hidden is not None
    assert trace.attention is not None
    assert [tuple(h.shape) for h in trace.hidden] == [(1, 6, 32)] * 4
    assert [tuple(a.shape) for a in trace.attention] == [(1, 4, 6, 6)] * 3
    torch.testing.assert_close(trace.attention[0].sum(-1), torch.ones(1, 4, 6))
    assert float(trace.attention[0].triu(1).abs().max()) == 0
    torch.testing.assert_close(model.encode(ids)[-1], last)


@pytest.mark.parametrize("heads", [1, 3, 8, 12, 20])
def test_alibi_slopes_of_any_head_count(heads: int) -> None:
    slopes = alibi_slopes(heads)
    assert len(slopes) == heads
    assert len(set(slopes)) == heads
    assert all(0 < slope < 1 for slope in slopes)
    if heads == 8:
        assert slopes == [2.0**-n for n in range(1, 9)]


def test_relative_buckets_by_hand() -> None:
    decoder = RelativeEncoding(Relative(buckets=32, max_distance=128), heads=1, both_ways=False)
    distance = torch.tensor([5, 0, -1, -15, -16, -31, -64, -127, -5000])
    assert decoder.buckets(distance).tolist() == [0, 0, 1, 15, 16, 21, 26, 31, 31]
    encoder = RelativeEncoding(Relative(buckets=32, max_distance=128), heads=1, both_ways=True)
    assert encoder.buckets(torch.tensor([0, -1, 1, -7, 7, -8, 200])).tolist() == [0, 1, 17, 7, 23, 8, 31]


def test_alibi_falls_with_the_distance() -> None:
    model = TransformerLM(replace(ONE_LAYER, positions=ALiBi()))
    bias = model.stack.positions.bias(torch.tensor([[[0, -1, -2]]]), torch.float32)
    assert bias is not None
    torch.testing.assert_close(bias[0, :, 0], -torch.tensor(alibi_slopes(4))[:, None] * torch.tensor([0.0, 1.0, 2.0]))
