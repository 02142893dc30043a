"""Static vectors, ELMo and a transformer under the same classifier, through the one loop, on a task two can do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fourfold.adaptation.downstream import (
    Classifying,
    EncoderFeatures,
    Row,
    StaticFeatures,
    TaskBatches,
    share_right,
)
from fourfold.models import Step, TransformerLM, build_model
from fourfold.models.elmo import ElmoConfig, ElmoFeatures, ElmoLM, FeatureClassifier, Features
from fourfold.pretraining.objectives import Example
from fourfold.training import IGNORED, adamw, constant, train

V = 20


def make(kind: str) -> Features:
    generator = torch.Generator().manual_seed(1)
    if kind == "static":
        return StaticFeatures(torch.randn(V, 16, generator=generator))
    if kind == "elmo":
        model = ElmoLM(ElmoConfig(vocabulary_size=V, hidden_size=24))
        model.initialise(generator)
        with torch.no_grad():
            model.embedding.weight.mul_(10)  # so that untrained layers tell tokens apart
        return ElmoFeatures(model)
    encoder = build_model({"family": "bert", "layers": 1, "hidden_size": 32, "heads": 2, "context": 16}, V)
    assert isinstance(encoder, TransformerLM)
    return EncoderFeatures(encoder)


def rows(of_tokens: bool) -> list[Row]:
    """Whether token 3 stands in the row; of tokens: whether the one before is 3, which needs context."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        ids = random.choice([3, *range(4, V)], random.integers(3, 9), p=[0.2, *[0.8 / (V - 4)] * (V - 4)])
        before = [IGNORED, *(int(id == 3) for id in ids[:-1])]
        targets = before if of_tokens else [int(3 in ids)]
        found.append(Row(example=Example(ids=ids, labels=np.full(len(ids), IGNORED)), offsets=[], targets=targets))
    return found


@pytest.mark.parametrize("kind", ["static", "elmo", "encoder"])
@pytest.mark.parametrize("of_tokens", [False, True])
def test_the_one_loop_teaches_what_the_features_hold(kind: str, of_tokens: bool) -> None:
    torch.manual_seed(0)
    model = FeatureClassifier(make(kind), 2, of_tokens=of_tokens, dropout=0.0)
    frozen = [p.clone() for p in model.parameters() if not p.requires_grad]
    data = rows(of_tokens)
    optimizer = adamw(model, 1e-2)
    batches = TaskBatches(data[:150], 0, 25, seed=1)
    for _ in train(model, Classifying(), batches, optimizer, steps=120, schedule=constant(1e-2)):
        pass
    right = share_right(model, data[150:], 0)
    answers = [target for row in data[150:] for target in row.targets or [] if target != IGNORED]
    majority = max(answers.count(0), answers.count(1)) / len(answers)
    if not of_tokens or kind == "encoder":
        assert right > 0.93
    elif kind == "elmo":
        assert right > majority + 0.04  # its states are untrained here
    else:
        assert right <= majority  # a vector alone does not know its neighbour
    assert all(map(torch.equal, frozen, [p for p in model.parameters() if not p.requires_grad]))
    assert isinstance(model, nn.Module)


@pytest.mark.parametrize("kind", ["static", "elmo", "encoder"])
def test_padding_changes_nothing(kind: str) -> None:
    model = FeatureClassifier(make(kind), 3, of_tokens=False).eval()
    ids, padded = torch.tensor([[4, 3, 7]]), torch.tensor([[4, 3, 7, 9, 9]])
    lengths = torch.tensor([3])
    alone = model.classify(model.hidden(Step(ids=ids)))
    torch.testing.assert_close(model.classify(model.hidden(Step(ids=padded, lengths=lengths)), lengths), alone)
