"""The losses of a mixture of experts, by hand and against transformers."""

import math

import pytest
import torch

from fourfold.models import EncoderDecoder, EncoderDecoderConfig, Trace, TransformerConfig, TransformerLM
from fourfold.models.transformer import Attention, Experts, FeedForward
from fourfold.training import (
    IGNORED,
    FixedBatches,
    LabelledBatch,
    LanguageModelling,
    adamw,
    constant,
    load_balancing_loss,
    router_z_loss,
    train,
)


def test_balance_by_hand():
    # Two tokens to expert 0, one to expert 1; P = (0.7 + 0.6 + 0.2) / 3 and the rest.
    logits = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]]).log()
    chosen = torch.tensor([[0], [0], [1]])
    assert load_balancing_loss(logits, chosen).item() == pytest.approx(2 * (2 / 3 * 0.5 + 1 / 3 * 0.5))
    skewed = torch.tensor([[0.9, 0.1]] * 4).log()
    assert load_balancing_loss(skewed, torch.zeros(4, 1, dtype=torch.long)).item() == pytest.approx(1.8)


@pytest.mark.parametrize("active", [1, 2, 3])
def test_an_even_router_has_as_much_as_experts_a_token(active):
    logits = torch.zeros(8, 4)
    chosen = (torch.arange(8)[:, None] + torch.arange(active)) % 4
    assert load_balancing_loss(logits, chosen).item() == pytest.approx(active)


def test_z_loss_by_hand():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    expected = (math.log(2) ** 2 + math.log(4) ** 2) / 2
    assert router_z_loss(logits).item() == pytest.approx(expected)
    assert router_z_loss(logits, torch.tensor([True, False])).item() == pytest.approx(math.log(2) ** 2)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("active", [1, 2])
def test_balance_is_what_transformers_computes(padded, active):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    logits = torch.randn(3 * 5, 4, generator=torch.Generator().manual_seed(active))
    mask = torch.ones(3, 5, dtype=torch.long)
    if padded:
        mask[0, 3:] = mask[2, 1:] = 0
    theirs = load_balancing_loss_func((logits,), 4, active, mask if padded else None)
    ours = load_balancing_loss(logits, logits.topk(active).indices, mask.bool().flatten() if padded else None)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def experts_model(active=1):
    config = TransformerConfig(
        vocabulary_size=30,
        hidden_size=16,
        layers=2,
        context=16,
        attention=Attention(heads=2),
        feed_forward=FeedForward(size=16, experts=Experts(count=4, active=active)),
    )
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    return model


def test_padding_is_not_balanced_and_layers_add_up():
    model = experts_model()
    ids = torch.randint(30, (2, 9), generator=torch.Generator().manual_seed(1))
    objective = LanguageModelling(weights={"balance": 1.0, "router_z": 1.0})
    alone = objective(model, LabelledBatch(ids[:1, :5], ids[:1, 1:6]))
    padded = LabelledBatch(ids[:1], ids[:1], lengths=torch.tensor([5]))
    assert objective.counts(padded) == {"balance": 5.0, "router_z": 5.0}
    for name, value in objective(model, padded).items():
        assert value.item() == pytest.approx(alone[name].item(), rel=1e-5)
    assert alone["balance"].item() / 5 >= 0.9 * 2  # two layers, each near one when even


def test_rows_that_fill_a_batch_up_are_not_balanced():
    model = experts_model()
    ids = torch.randint(30, (3, 9), generator=torch.Generator().manual_seed(1))
    objective = LanguageModelling(weights={"balance": 1.0, "router_z": 1.0})
    alone = objective(model, LabelledBatch(ids[:2], ids[:2]))
    full = LabelledBatch(ids, torch.cat([ids[:2], torch.full_like(ids[2:], IGNORED)]))
    assert objective.counts(full) == {"balance": 18.0, "router_z": 18.0}
    for name, value in objective(model, full).items():
        assert value.item() == pytest.approx(alone[name].item(), rel=1e-5)


def test_balancing_evens_the_experts_out():
    """A router that begins by sending everything to one expert learns to use all of them."""
    shares = {}
    for weight in (0.0, 0.1):
        model = experts_model()
        with torch.no_grad():
            for layer in model.stack.layers:
                layer.feed_forward.router.weight[0] = layer.feed_forward.router.weight[0].abs() + 0.5
            model.stack.embedding.weight.abs_()
        weights = {"cross_entropy": 1.0} | ({"balance": weight} if weight else {})
        ids = torch.randint(30, (8, 17), generator=torch.Generator().manual_seed(2))
        batch = LabelledBatch(ids[:, :-1], ids[:, 1:])
        list(
            train(
                model,
                LanguageModelling(weights=weights),
                FixedBatches([[batch]]),
                adamw(model, 0.01),
                steps=60,
                schedule=constant(0.01),
            )
        )
        trace = Trace()
        model.hidden(batch.step(trace))
        used = torch.stack([layer.chosen.flatten().bincount(minlength=4) for layer in trace.routing]).float()
        shares[weight] = float((used / used.sum(1, keepdim=True)).max())
    assert shares[0.1] < 0.6
    assert shares[0.1] < shares[0.0]


def test_an_encoder_is_balanced_over_its_own_tokens():
    """The same sources under other padding, beside decoder rows of the same shape."""
    sizes = {
        "vocabulary_size": 30,
        "hidden_size": 16,
        "layers": 1,
        "context": 16,
        "attention": Attention(heads=2),
        "feed_forward": FeedForward(size=16, experts=Experts(count=4, active=1)),
    }
    config = EncoderDecoderConfig(
        encoder=TransformerConfig(**sizes, mask="bidirectional", head=None),
        decoder=TransformerConfig(**sizes, cross_attention=True),
    )
    model = EncoderDecoder(config)
    model.initialise(torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(3)
    ids, source = (torch.randint(30, (2, 9), generator=draw) for _ in range(2))
    objective = LanguageModelling(weights={"balance": 1.0, "router_z": 1.0})
    lengths = torch.tensor([4, 4])
    padded = objective(model, LabelledBatch(ids, ids, source=source, source_lengths=lengths))
    cut = objective(model, LabelledBatch(ids, ids, source=source[:, :4]))
    for name, value in cut.items():
        assert padded[name].item() == pytest.approx(value.item(), rel=1e-5)
