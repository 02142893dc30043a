"""One objective for every kind of model: the data places the labels."""

import pytest
import torch
from torch.nn import functional as F

from fourfold.models import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM
from fourfold.models.transformer import Attention, FeedForward, Head, Task
from fourfold.training import IGNORED, LabelledBatch, LanguageModelling

SIZES = {
    "vocabulary_size": 30,
    "hidden_size": 16,
    "layers": 2,
    "context": 16,
    "attention": Attention(heads=2),
    "feed_forward": FeedForward(size=16),
}


def tokens(rows, length, seed=0):
    return torch.randint(30, (rows, length), generator=torch.Generator().manual_seed(seed))


def made(model):
    model.initialise(torch.Generator().manual_seed(0))
    return model.eval()


def test_the_batch_moves_and_counts_all_it_holds():
    batch = LabelledBatch(
        ids=tokens(2, 4),
        labels=tokens(2, 4),
        lengths=torch.tensor([4, 3]),
        source=tokens(2, 6),
        source_lengths=torch.tensor([6, 1]),
        targets=torch.tensor([0, IGNORED]),
    )
    assert batch.tokens == 7 + 7
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.source, batch.source)
    assert moved.prefix is None
    step = batch.step()
    assert step.source is batch.source
    assert step.source_lengths is batch.source_lengths
    objective = LanguageModelling(weights={"cross_entropy": 1.0, "classes": 1.0})
    assert objective.counts(batch) == {"cross_entropy": 8.0, "classes": 1.0}
    assert LanguageModelling().counts(batch) == {"cross_entropy": 8.0}


@pytest.mark.parametrize("mask", ["causal", "prefix", "bidirectional"])
def test_labels_are_compared_where_the_data_put_them(mask):
    model = made(TransformerLM(TransformerConfig(**SIZES, mask=mask)))
    labels = tokens(2, 7, 1)
    labels[0, :4] = IGNORED
    prefix = torch.arange(7) < torch.tensor([[4], [2]]) if mask == "prefix" else None
    batch = LabelledBatch(tokens(2, 7), labels, prefix=prefix)
    logits = model.logits(model.hidden(batch.step()))
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    assert LanguageModelling(rows=3)(model, batch)["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_encoder_decoder_is_scored_on_the_decoder_side():
    encoder = TransformerConfig(**SIZES, mask="bidirectional", head=None)
    decoder = TransformerConfig(**SIZES, cross_attention=True)
    model = made(EncoderDecoder(EncoderDecoderConfig(encoder=encoder, decoder=decoder)))
    batch = LabelledBatch(tokens(2, 5), tokens(2, 5, 1), source=tokens(2, 8, 2), source_lengths=torch.tensor([8, 3]))
    logits = model.logits(model.hidden(batch.step()))
    expected = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="sum")
    found = LanguageModelling()(model, batch)
    assert found["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)
    found["cross_entropy"].backward()
    assert model.encoder.layers[0].attention.query.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("mask", ["causal", "bidirectional"])
@pytest.mark.parametrize("kind", ["sequence", "token", "span"])
def test_classes(kind, mask):
    classes = 2 if kind == "span" else 3
    config = TransformerConfig(
        **SIZES, mask=mask, head=None, pooler=mask == "bidirectional", task=Task(kind=kind, classes=classes)
    )
    model = made(TransformerLM(config))
    lengths = torch.tensor([6, 4])
    targets = {
        "sequence": torch.tensor([2, 0]),
        "token": torch.tensor([[0, 1, 2, IGNORED, 1, 0], [2, 1, 0, 0, IGNORED, IGNORED]]),
        "span": torch.tensor([[1, 5], [0, 3]]),
    }[kind]
    batch = LabelledBatch(tokens(2, 6), torch.full((2, 6), IGNORED), lengths=lengths, targets=targets)
    objective = LanguageModelling(weights={"classes": 1.0}, span=kind == "span")
    scores = model.classify(model.hidden(batch.step()), lengths)
    if kind == "sequence":
        expected = -sum(scores[row].log_softmax(-1)[targets[row]] for row in range(2))
    elif kind == "token":
        flat = scores.log_softmax(-1)
        wanted = [(row, place) for row in range(2) for place in range(6) if targets[row, place] != IGNORED]
        expected = -sum(flat[row, place, targets[row, place]] for row, place in wanted)
    else:
        expected = -sum(
            scores[row, : lengths[row], end].log_softmax(-1)[targets[row, end]] for row in range(2) for end in range(2)
        )
    assert objective(model, batch)["classes"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.counts(batch)["classes"] == int((targets != IGNORED).sum())


def test_what_does_not_fit_is_a_type_error():
    model = made(TransformerLM(TransformerConfig(**SIZES, head=Head())))
    batch = LabelledBatch(tokens(1, 4), tokens(1, 4))
    with pytest.raises(TypeError, match="targets"):
        LanguageModelling(weights={"classes": 1.0})(model, batch)
    with pytest.raises(TypeError, match="experts"):
        LanguageModelling(weights={"balance": 1.0})(model, batch)
