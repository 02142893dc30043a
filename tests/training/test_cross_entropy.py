import pytest
import torch
from torch.nn import functional as F

from fourfold.models import Step
from fourfold.training import IGNORED, LabelledBatch, causal_language_modelling, cross_entropy_sum, label_log_probs
from fourfold.training.cross_entropy import wanted_rows


def plain_loss(model, batch):
    logits = model.logits(model.hidden(step_of(batch)))
    return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="sum", ignore_index=IGNORED)


def step_of(batch):
    return Step(ids=batch.ids)


@pytest.mark.parametrize("rows", [1, 5, 7, 1000])
def test_chunked_equals_plain_with_gradients(tiny, random_batch, rows):
    batch = random_batch()
    chunked, plain = tiny().double(), tiny().double()
    loss = causal_language_modelling(rows=rows)(chunked, batch)["cross_entropy"]
    expected = plain_loss(plain, batch)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)  # the softmax is in fp32
    (loss * 3).backward()
    (expected * 3).backward()
    for (name, one), other in zip(chunked.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5, msg=name)


def test_fp32_gradients_within_1e5_of_plain(tiny, random_batch):
    batch = random_batch()
    one, other = tiny(), tiny()
    causal_language_modelling(rows=5)(one, batch)["cross_entropy"].backward()
    plain_loss(other, batch).backward()
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert (left.grad - right.grad).abs().max() <= 1e-5 * max(1.0, float(right.grad.abs().max()))


def test_frozen_head_still_passes_gradients_to_what_trains(tiny, random_batch):
    batch = random_batch()
    one, other = tiny(), tiny()
    for model in (one, other):
        model.embedding.requires_grad_(False)
    causal_language_modelling(rows=5)(one, batch)["cross_entropy"].backward()
    plain_loss(other, batch).backward()
    assert one.embedding.weight.grad is None
    torch.testing.assert_close(one.query.weight.grad, other.query.weight.grad, rtol=1e-4, atol=1e-5)


def test_only_wanted_positions_reach_the_logits(tiny, random_batch):
    batch = random_batch()
    model = tiny()
    seen = []

    def logits(hidden):
        seen.append(len(hidden))
        return model.logits(hidden)

    cross_entropy_sum(model, logits, model.hidden(step_of(batch)), batch.labels, 5)
    assert sum(seen) == int((batch.labels != IGNORED).sum()) < batch.labels.numel()
    assert max(seen) == 5


def test_no_grad_gives_the_same_sum(tiny, random_batch):
    batch = random_batch()
    objective = causal_language_modelling(rows=5)
    with torch.no_grad():
        value = objective(tiny(), batch)["cross_entropy"]
    assert not value.requires_grad
    assert float(value) == float(objective(tiny(), batch)["cross_entropy"].detach())


def test_label_log_probs_equal_log_softmax_with_row_weights(tiny, random_batch):
    batch = random_batch()
    one, other = tiny(), tiny()
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])
    log_probs = label_log_probs(one.logits, one.hidden(step_of(batch)), batch.labels, 5)
    logits = other.logits(other.hidden(step_of(batch))).log_softmax(-1)
    wanted = batch.labels != IGNORED
    expected = logits.gather(-1, batch.labels.clamp_min(0)[..., None])[..., 0] * wanted
    torch.testing.assert_close(log_probs, expected, rtol=1e-5, atol=1e-5)
    (log_probs.sum(1) @ weights).backward()
    (expected.sum(1) @ weights).backward()
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-4, atol=1e-4)


def test_label_log_probs_without_any_label_are_zero(tiny, random_batch):
    batch = random_batch()
    model = tiny()
    nothing = torch.full_like(batch.labels, IGNORED)
    assert not label_log_probs(model.logits, model.hidden(step_of(batch)), nothing, 5).any()


def test_all_wanted_rows_are_not_copied():
    hidden, labels = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    rows, _ = wanted_rows(hidden, labels)
    assert rows.data_ptr() == hidden.data_ptr()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_is_the_same_number(tiny, random_batch, mode):
    model, batch = tiny(), random_batch()
    objective = causal_language_modelling(rows=5)
    expected = objective(model, batch)["cross_entropy"].item()
    with mode():
        found = objective(model, batch)["cross_entropy"]
        empty = LabelledBatch(batch.ids, torch.full_like(batch.labels, IGNORED))
        assert objective(model, empty)["cross_entropy"].item() == 0
    assert found.item() == pytest.approx(expected, rel=1e-5)
