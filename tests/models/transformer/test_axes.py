"""Every value of every axis runs forward, backward, cached, packed and padded, and says the same each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import EncoderDecoder, EncoderDecoderConfig, Step, Trace, TransformerConfig, TransformerLM
from fourfold.models.transformer import (
    ALiBi,
    Attention,
    Embedding,
    Experts,
    FeedForward,
    NoPositions,
    Norm,
    Relative,
    Rotary,
    Sinusoidal,
    Task,
)
from tests.models.transformer.axes import AXES, BASE, Axis

IDS = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))


def build(config: TransformerConfig) -> TransformerLM:
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():  # weights large enough that every part shows in the logits
            parameter.mul_(4.0) if parameter.dim() > 1 else parameter.add_(torch.linspace(-0.2, 0.3, len(parameter)))
    return model.eval()


def name_of(axis: Axis) -> str:
    return f"{axis.axis}: {axis.value}"


@pytest.fixture(params=AXES, ids=name_of)
def model(request: pytest.FixtureRequest) -> TransformerLM:
    return build(request.param.change(BASE))


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-4 * float(b.detach().abs().max().clamp(min=1)), rtol=1e-4)


def test_every_parameter_has_a_gradient(model: TransformerLM) -> None:
    hidden = model.hidden(Step(ids=IDS, segments=IDS % 2))
    total = model.logits(hidden).square().sum()
    if model.task is not None:
        total = total + model.classify(hidden).square().sum()
    total.backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert not {name for name in idle if ".experts." not in name}  # the router may pass an expert by
    assert torch.isfinite(total)


def test_cached_is_uncached(model: TransformerLM) -> None:
    if model.config.mask == "bidirectional":
        with pytest.raises(ValueError, match="no state to continue"):
            model(IDS)
        return
    with torch.no_grad():
        want = model.logits(model.hidden(Step(ids=IDS)))
        state = model.new_state(2, 20)
        parts = [model(part, state)[0] for part in (IDS[:, :5], IDS[:, 5:6], IDS[:, 6:7], IDS[:, 7:])]
    close(torch.cat(parts, dim=1), want)


def test_ragged_rows_continue_alone(model: TransformerLM) -> None:
    if model.config.mask == "bidirectional":
        pytest.skip("an encoder continues nothing")
    with torch.no_grad():
        state = model.new_state(2, 20)
        model.hidden(Step(ids=IDS[:, :6], lengths=torch.tensor([6, 3])), state)
        next_ids = torch.stack((IDS[0, 6:7], IDS[1, 3:4]))
        got = model.logits(model.hidden(Step(ids=next_ids), state))
        for row, length in enumerate((7, 4)):
            alone = model.logits(model.hidden(Step(ids=IDS[row : row + 1, :length])))
            close(got[row, -1], alone[0, -1])


def test_packed_is_unpacked(model: TransformerLM) -> None:
    documents = torch.tensor([[0] * 5 + [1] * 7, [0] * 3 + [1] * 4 + [2] * 5])
    with torch.no_grad():
        packed = model.hidden(Step(ids=IDS, documents=documents))
        for row, start, end in ((0, 0, 5), (0, 5, 12), (1, 0, 3), (1, 3, 7), (1, 7, 12)):
            close(packed[row, start:end], model.hidden(Step(ids=IDS[row : row + 1, start:end]))[0])


def test_padding_changes_nothing(model: TransformerLM) -> None:
    with torch.no_grad():
        padded = model.hidden(Step(ids=IDS, lengths=torch.tensor([12, 7])))
        close(padded[1, :7], model.hidden(Step(ids=IDS[1:, :7]))[0])
        left = torch.tensor([[0] * 12, [0] * 5 + [1] * 7])  # padding on the left is a document of its own
        rolled = torch.stack((IDS[0], IDS[1].roll(5)))
        close(model.hidden(Step(ids=rolled, documents=left))[1, 5:], model.hidden(Step(ids=IDS[1:, :7]))[0])


def test_recomputed_gradients_are_the_same(model: TransformerLM) -> None:
    gradients = []
    for recompute in (False, True):
        model.zero_grad()
        model.stack.recompute = recompute
        model.hidden(Step(ids=IDS)).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.stack.parameters() if p.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


def test_bf16_runs(model: TransformerLM) -> None:
    with torch.no_grad():
        want = model.logits(model.hidden(Step(ids=IDS)))
        got = model.bfloat16().logits(model.hidden(Step(ids=IDS)))
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().mean() < 0.2 * want.abs().mean() + 0.05


def encoder_decoder(axis: Axis) -> EncoderDecoderConfig:
    changed = axis.change(BASE)
    shared = replace(changed, pooler=False, task=None, mask="causal")
    return EncoderDecoderConfig(
        encoder=replace(shared, mask="bidirectional", head=None), decoder=replace(shared, cross_attention=True)
    )


def fits_encoder_decoder(axis: Axis) -> bool:
    config = axis.change(BASE)
    serial, has_order = config.residual == "serial", not isinstance(config.positions, NoPositions)
    return serial and has_order and config.embedding.size is None


@pytest.mark.parametrize("axis", [axis for axis in AXES if fits_encoder_decoder(axis)], ids=name_of)
def test_encoder_decoder(axis: Axis) -> None:
    model = EncoderDecoder(encoder_decoder(axis))
    model.initialise(torch.Generator().manual_seed(0))
    model.eval()
    lengths = torch.tensor([12, 7])
    want = model.logits(model.hidden(Step(ids=IDS[:, :6], source=IDS, source_lengths=lengths)))
    want.square().sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "segments" not in name)
    with torch.no_grad():
        state = model.start(IDS, lengths, 10)
        first, _ = model(IDS[:, :3], state)
        state = state.fork(torch.tensor([1, 0]))
        rest = [model(IDS[[1, 0], place : place + 1], state)[0] for place in (3, 4, 5)]
        close(torch.cat((first, torch.cat(rest, dim=1)[[1, 0]]), dim=1), want)
        alone = model.hidden(Step(ids=IDS[1:, :6], source=IDS[1:, :7]))
        close(model.logits(alone), want[1:])
        assert model.logits(model.hidden(Step(ids=IDS))).shape == (2, 12, 50)  # under an empty source
        trace = Trace()
        model.hidden(Step(ids=IDS, source=IDS, trace=trace))
        assert len(trace.routing) == (6 if axis.change(BASE).feed_forward.experts else 0)  # of both stacks


NONSENSE = {
    "parallel, post norm": (lambda c: replace(c, residual="parallel", norm=Norm(place="post")), "must stand before"),
    "RMSNorm, no bias": (lambda c: replace(c, norm=Norm(bias=False)), "RMSNorm has no bias"),
    "too many experts": (
        lambda c: replace(c, feed_forward=FeedForward(size=8, experts=Experts(count=2, active=3))),
        "active experts",
    ),
    "bag of tokens": (lambda c: replace(c, mask="bidirectional", positions=NoPositions()), "bag of tokens"),
    "odd rotary": (lambda c: replace(c, positions=Rotary(share=0.4)), "even part of a head"),
    "local positions": (lambda c: replace(c, local_positions=ALiBi()), "only rotary positions differ"),
    "prefix, window": (
        lambda c: replace(c, mask="prefix", attention=Attention(heads=4, windows=(4,))),
        "sliding window forbids",
    ),
    "window of nothing": (lambda c: replace(c, attention=Attention(heads=4, windows=(0,))), "windows"),
    "buckets": (lambda c: replace(c, positions=Relative(buckets=6)), "multiple of 4"),
    "odd sines": (
        lambda c: replace(c, positions=Sinusoidal(), embedding=Embedding(size=7)),
        "even embedding size",
    ),
    "heads": (lambda c: replace(c, attention=Attention(heads=5)), "does not split"),
    "kv heads": (lambda c: replace(c, attention=Attention(heads=4, kv_heads=3)), "multiple of kv_heads"),
    "cross and parallel": (lambda c: replace(c, cross_attention=True, residual="parallel"), "cannot be parallel"),
    "cross and prefix": (lambda c: replace(c, cross_attention=True, mask="prefix"), "is causal"),
    "span of three ends": (lambda c: replace(c, task=Task(kind="span", classes=3)), "two ends"),
    "no size": (lambda c: replace(c, layers=0), "layers is out of range"),
    "absurd size": (lambda c: replace(c, layers=10**30), "layers is out of range"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_the_reason(name: str) -> None:
    change, reason = NONSENSE[name]
    with pytest.raises(UserError, match=reason):
        change(BASE)
