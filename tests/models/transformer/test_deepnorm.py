"""Where the norm stands, against theory: DeepNorm written again from its paper, and what depth does to gradients.

Letters: B rows, T tokens, D hidden size, H heads, N layers.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models import Step, build_model

D, H, V, T = 64, 4, 64, 32
PLAIN = {"kind": "gpt2", "deviation": 0.11, "by_depth": False}
"""About Xavier's for attention at this width, no smaller in deeper models: the start of the first transformers."""
KINDS = ("query", "key", "value", "output", "up", "down")


class Paper(nn.Module):
    """A post-norm decoder with alpha and beta as in Wang et al. (2022), figure 2, on plain matrices."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.alpha, beta = (2 * layers) ** (1 / 4), (8 * layers) ** (-1 / 4)
        gains = {"query": 1.0, "key": 1.0, "value": beta, "output": beta, "up": beta, "down": beta}
        shapes = dict.fromkeys(KINDS, (D, D)) | {"up": (4 * D, D), "down": (D, 4 * D)}
        self.layers = [{kind: torch.empty(shapes[kind]) for kind in KINDS} for _ in range(layers)]
        for layer in self.layers:
            for kind, weight in layer.items():
                nn.init.xavier_normal_(weight, gain=gains[kind])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.layer_norm(self.alpha * x + self.attend(x, layer), (D,))
            inner = F.gelu(x @ layer["up"].T, approximate="tanh")
            x = F.layer_norm(self.alpha * x + inner @ layer["down"].T, (D,))
        return x

    @staticmethod
    def attend(x: Tensor, layer: dict[str, Tensor]) -> Tensor:
        query, key, value = (
            (x @ layer[kind].T).reshape(len(x), T, H, D // H).permute(0, 2, 1, 3) for kind in ("query", "key", "value")
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(D // H)
        seen = torch.ones(T, T).tril().bool()
        mixed = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value
        return mixed.permute(0, 2, 1, 3).reshape(len(x), T, D) @ layer["output"].T


def matrices(model: nn.Module, layer: int) -> dict[str, Tensor]:
    found = model.stack.layers[layer]
    own = {kind: getattr(found.attention, kind).weight for kind in KINDS[:4]}
    return own | {kind: getattr(found.feed_forward, kind).weight for kind in KINDS[4:]}


def model_of(place: str, layers: int, initialisation: object) -> nn.Module:
    sizes = {"family": "gpt2", "hidden_size": D, "heads": H, "context": T, "layers": layers}
    return build_model({**sizes, "norm_place": place, "initialisation": initialisation}, V, seed=1)


def test_deepnorm_is_the_papers() -> None:
    torch.manual_seed(0)
    ours, paper = model_of("deep", 12, "deep"), Paper(12)
    for number, layer in enumerate(paper.layers):
        for kind, weight in matrices(ours, number).items():
            assert float(weight.detach().std()) == pytest.approx(float(layer[kind].std()), rel=0.06), kind
            weight.data.copy_(layer[kind])
    ids = torch.randint(V, (2, T), generator=torch.Generator().manual_seed(2))
    embedded = ours.stack.embedding(ids) + ours.stack.positions.weight[:T]
    torch.testing.assert_close(ours.hidden(Step(ids=ids)), paper(embedded), rtol=1e-4, atol=1e-4)


def loss_of(model: nn.Module) -> tuple[Tensor, Tensor]:
    """(B, T, D) the last hidden states, and the loss of random labels."""
    draw = torch.Generator().manual_seed(3)
    ids, labels = torch.randint(V, (8, T), generator=draw), torch.randint(V, (8, T), generator=draw)
    hidden = model.hidden(Step(ids=ids))
    return hidden, F.cross_entropy(model.logits(hidden).flatten(0, 1), labels.flatten())


def last_gradient(place: str, layers: int) -> float:
    model = model_of(place, layers, PLAIN)
    loss_of(model)[1].backward()
    return float(model.stack.layers[-1].feed_forward.down.weight.grad.norm())


def test_gradients_at_the_top_stay_with_post_norm_and_fall_with_pre_norm() -> None:
    """Xiong et al. (2020), theorem 1: post-norm's do not depend on the depth, pre-norm's go with 1 / sqrt(depth).
    That is why post-norm needs a warm-up."""
    post = last_gradient("post", 48) / last_gradient("post", 6)
    pre = last_gradient("pre", 48) / last_gradient("pre", 6)
    assert 0.7 < post < 1.7
    assert 0.6 < pre * math.sqrt(8) < 1.7


def change_of_one_step(place: str, layers: int, initialisation: object) -> float:
    """Root mean square of what one step of plain gradient descent changes in the hidden states."""
    model = model_of(place, layers, initialisation)
    before, loss = loss_of(model)
    loss.backward()
    with torch.no_grad():
        for layer in model.stack.layers:
            for weight in layer.parameters():
                if weight.dim() > 1:
                    weight -= 0.05 * weight.grad
    after, _ = loss_of(model)
    return float((after - before).detach().square().mean().sqrt())


def test_deepnorm_bounds_what_a_step_changes_at_any_depth() -> None:
    """Wang et al. (2022), section 4: the expected change neither grows with depth nor is large."""
    deep = [change_of_one_step("deep", layers, "deep") for layers in (4, 16, 48)]
    post = [change_of_one_step("post", layers, PLAIN) for layers in (4, 16, 48)]
    assert max(deep) < 1.3 * min(deep)
    assert post[2] > 3 * post[0]
    assert post[0] > 10 * deep[0]
