"""The plan's arithmetic against published counts, hand-worked sums and what autograd really keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Config, RecurrentConfig, Step, TransformerConfig, TransformerLM, make_module, model_config
from fourfold.models.inspection import count
from fourfold.models.transformer import Attention, Experts, FeedForward, Learned, Norm
from fourfold.pretraining import Job, flops, flops_per_token, measure_speed, memory
from fourfold.pretraining.planning.memory import activation_bytes
from fourfold.resources import published_config
from fourfold.training import FLOAT32, Precision

BF16 = Precision(name="bf16", reason="test", autocast=torch.bfloat16)


def tiny(family: str = "llama", **changes: object) -> Config:
    table = {"family": family, "layers": 2, "hidden_size": 64, "heads": 4, "context": 32, **changes}
    return model_config(table, 100)


def test_flops_by_hand() -> None:
    config = tiny(kv_heads=2, feed_forward_size=96)
    matrices = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96) + 100 * 64
    norms = 5 * 64
    attention = 4 * 2 * 64 * 32
    job = Job(config=config, tokens=1000)
    assert flops(job) == 1000 * (6 * (matrices + norms) + 3 * attention)
    assert flops(replace(job, purpose="score")) == 1000 * (2 * (matrices + norms) + attention)
    assert flops(replace(job, purpose="tune")) == 1000 * (4 * (matrices + norms) + 3 * attention)


def kept_by_autograd(config: Config, precision: Precision, tokens: int) -> int:
    """Bytes of activations that one more layer keeps for the backward pass."""
    sizes = []
    for layers in (1, 2):
        model = make_module(replace(config, layers=layers))
        model.initialise(torch.Generator().manual_seed(0))
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, tuple[int, torch.Tensor]] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, tuple[int, torch.Tensor]] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
            return tensor

        ids = torch.zeros(1, tokens, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision.context(ids.device):
            model.hidden(Step(ids=ids))
        # Tensors without a token dimension are casts of weights, which `memory` counts apart.
        sizes.append(sum(size for key, (size, t) in kept.items() if key not in weights and tokens in t.shape))
    return sizes[1] - sizes[0]


LLAMA = TransformerConfig(
    vocabulary_size=50,
    hidden_size=256,
    layers=2,
    context=77,
    attention=Attention(heads=8),
    feed_forward=FeedForward(size=704),
)
GPT2 = replace(
    LLAMA,
    attention=Attention(heads=8, bias=True),
    feed_forward=FeedForward(size=1024, activation="gelu-tanh", gated=False, bias=True),
    norm=Norm(kind="layer"),
    positions=Learned(),
)
SHAPES: dict[str, TransformerConfig] = {
    "llama": LLAMA,
    "gpt2": GPT2,
    "post": replace(GPT2, norm=Norm(kind="layer", place="post")),
    "sandwich": replace(LLAMA, norm=Norm(place="sandwich")),
    "output": replace(LLAMA, norm=Norm(place="output"), attention=Attention(heads=8, norm="full")),
    "parallel": replace(LLAMA, residual="parallel"),
    "parallel, one norm": replace(LLAMA, residual="parallel-one-norm"),
    "wide heads": replace(LLAMA, attention=Attention(heads=8, head_size=64, kv_heads=2)),
    "head norms": replace(LLAMA, attention=Attention(heads=8, norm="head")),
    "softcap": replace(LLAMA, attention=Attention(heads=8, softcap=50.0)),
    "relu": replace(GPT2, feed_forward=FeedForward(size=1024, activation="relu", gated=False)),
}


@pytest.mark.parametrize("precision", [FLOAT32, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", SHAPES)
def test_activations_are_what_autograd_keeps(name: str, precision: Precision) -> None:
    config = SHAPES[name]
    kept = kept_by_autograd(config, precision, 77)
    job = Job(config=replace(config, layers=1), tokens=1, batch_size=1)
    assert activations(job, precision) == pytest.approx(kept, rel=0.07)


def activations(job: Job, precision: Precision = FLOAT32) -> float:
    return job.batch_size * job.row * sum(activation_bytes(job, precision.autocast is not None))


def test_activations_of_experts_are_what_autograd_keeps() -> None:
    config = replace(LLAMA, feed_forward=FeedForward(size=704, experts=Experts(count=4, active=2)))
    planned = activations(Job(config=replace(config, layers=1), tokens=1, batch_size=1))
    assert planned == pytest.approx(kept_by_experts(config), rel=0.07)


def kept_by_experts(config: TransformerConfig) -> int:
    """As above; an expert's tensors have as many rows as tokens were sent to it, so all tensors but weights count."""
    sizes = []
    for layers in (1, 2):
        model = TransformerLM(replace(config, layers=layers))
        model.initialise(torch.Generator().manual_seed(0))
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.hidden(Step(ids=torch.arange(77)[None] % 50))
        sizes.append(sum(size for key, size in kept.items() if key not in weights))
    return sizes[1] - sizes[0]


def test_recomputing_keeps_the_inputs_of_layers_and_costs_a_forward_pass() -> None:
    job = Job(config=LLAMA, tokens=1, batch_size=3)
    layer = activations(replace(job, config=replace(LLAMA, layers=1)))
    again = replace(job, recompute=True)
    assert activations(job) == 2 * layer
    assert activations(again) == 3 * 77 * (2 * 256 * 4) + layer
    assert flops(again) - flops(job) == flops(replace(job, purpose="score"))


def test_an_encoder_decoder_is_planned() -> None:
    config = published_config("t5:small")
    job = Job(config=config, tokens=1e6, batch_size=2, context=128)
    parts = memory(job, FLOAT32)
    assert parts["weights"] == 4 * 60_506_624
    assert activations(job) > 0
    scored = replace(job, purpose="score")
    # keys and values of six layers of 512, for 128 target and 128 source tokens of two rows
    assert memory(scored, FLOAT32)["state"] == 2 * 6 * 512 * (128 + 128) * 2 * 4
    assert flops(job) == 3 * flops(scored)
    assert measure_speed(job, FLOAT32).seconds > 0


def test_an_encoder_has_no_logits_and_no_state() -> None:
    job = Job(config=published_config("all-minilm:l6"), tokens=1e6, batch_size=2, context=128, purpose="score")
    parts = memory(job, FLOAT32)
    assert parts["logits"] == parts["state"] == 0


def test_of_experts_the_chosen_ones_cost() -> None:
    config = published_config("mixtral:8x7b")
    job = Job(config=config, tokens=1.0, purpose="score", context=1)
    assert flops_per_token(job) == pytest.approx(2 * 12.9e9, rel=0.02)
    assert memory(job, FLOAT32)["weights"] == 4 * count(config).total


def test_memory_of_weights_and_optimizer() -> None:
    job = Job(config=published_config("smollm2:135m"), tokens=1, batch_size=1, context=128)
    parts = memory(job, FLOAT32)
    assert parts["weights"] == parts["gradients"] == 4 * 134_515_008
    assert parts["optimizer"] == 8 * 134_515_008
    tuned = memory(replace(job, purpose="tune", delta_rank=8), BF16)
    # rank 8 on all seven projections of SmolLM2-135M
    assert tuned["gradients"] == 4 * 8 * 30 * (4 * 576 + 2 * (576 + 192) + 3 * (576 + 1536))
    assert tuned["weights"] == 2 * 134_515_008 + tuned["gradients"]
    scored = memory(replace(job, purpose="score"), FLOAT32)
    assert scored["optimizer"] == scored["activations"] == 0
    assert scored["state"] == 2 * 30 * 192 * 128 * 4


def test_what_stands_at_the_loss_or_after_the_last_layer_counts() -> None:
    """Activations and the head's gradient, or all gradients: never both."""
    job = Job(config=LLAMA, tokens=1, batch_size=64)
    parts, few = memory(job, FLOAT32), memory(replace(job, batch_size=1), FLOAT32)
    assert parts["gradients"] == 4 * LLAMA.vocabulary_size * LLAMA.hidden_size
    assert parts["activations"] == activations(job)
    assert few["gradients"] == 4 * count(LLAMA).total
    assert few["activations"] == few["logits"] == 0


def test_a_recurrent_layer_keeps_what_its_products_and_gates_make() -> None:
    config = RecurrentConfig(vocabulary_size=50, hidden_size=48, layers=1, context=16)
    model, kept = make_module(config), {}
    model.initialise(torch.Generator().manual_seed(0))
    weights = {2 * parameter.numel() for parameter in model.parameters()} | {4 * 50 * 48}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), BF16.context(torch.device("cpu")):
        model.hidden(Step(ids=torch.arange(8 * 16).view(8, 16) % 50))
    sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values() if tensor.is_floating_point()]
    found = sum(size for size in sizes if size not in weights)
    assert activations(Job(config=config, tokens=1, batch_size=8), BF16) == pytest.approx(found, rel=0.07)


def test_speed_grows_with_the_work() -> None:
    config = tiny(layers=4)
    short = measure_speed(Job(config=config, tokens=10_000), FLOAT32)
    long = measure_speed(Job(config=config, tokens=10_000_000), FLOAT32)
    assert 0 < short.seconds < long.seconds
    assert long.spread >= long.seconds / 10


def test_a_job_without_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        Job(config=tiny(), tokens=0)
