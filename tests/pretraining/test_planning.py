"""The plan's arithmetic against published counts, hand-worked sums and what autograd really keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Config, Step, make_module, model_config
from fourfold.pretraining import Job, count, flops, measure_speed, memory, published_config
from fourfold.training import FLOAT32, Precision

BF16 = Precision(name="bf16", reason="test", autocast=torch.bfloat16)


@pytest.mark.parametrize(
    ("reference", "parameters"),
    [  # the numbers of parameters of the released checkpoints
        ("llama:7b", 6_738_415_616),
        ("llama:13b", 13_015_864_320),
        ("llama:33b", 32_528_943_616),
        ("llama:65b", 65_285_660_672),
        ("smollm2:135m", 134_515_008),
        ("smollm2:360m", 361_821_120),
        ("smollm2:1.7b", 1_711_376_384),
        ("gpt2:small", 124_439_808),
        ("gpt2:124m", 124_439_808),
        ("gpt2:xl", 1_557_611_200),
    ],
)
def test_parameters_of_published_models(reference: str, parameters: int) -> None:
    assert count(published_config(reference)).total == parameters


def test_unknown_sizes_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown size of llama '7bb'. Did you mean '7b'"):
        published_config("llama:7bb")
    with pytest.raises(UserError, match=r"unknown family 'lama'. Did you mean 'llama'"):
        published_config("lama:7b")


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


def test_an_untied_embedding_costs_parameters_but_no_products() -> None:
    tied, untied = count(tiny(tied_embeddings=True)), count(tiny(tied_embeddings=False))
    assert untied.total - tied.total == 100 * 64
    assert untied.in_products == tied.in_products


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


@pytest.mark.parametrize("precision", [FLOAT32, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_activations_are_what_autograd_keeps(family: str, precision: Precision) -> None:
    config = model_config({"family": family, "layers": 2, "hidden_size": 256, "heads": 8, "context": 77}, 50)
    kept = kept_by_autograd(config, precision, 77)
    job = Job(config=replace(config, layers=1), tokens=1, batch_size=1)
    planned = memory(job, precision)["activations"]
    if precision.autocast is not None:
        planned -= 2 * count(job.config).in_products
    assert planned == pytest.approx(kept, rel=0.1)


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


def test_speed_grows_with_the_work() -> None:
    config = tiny(layers=4)
    short = measure_speed(Job(config=config, tokens=10_000), FLOAT32)
    long = measure_speed(Job(config=config, tokens=10_000_000), FLOAT32)
    assert 0 < short.seconds < long.seconds
    assert long.spread >= long.seconds / 10


def test_a_job_without_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        Job(config=tiny(), tokens=0)
