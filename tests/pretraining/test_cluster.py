"""Plans for clusters: sums by hand, the real optimizers' states, counted operations, and published trainings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fourfold.errors import UserError
from fourfold.models import Config, Step, TransformerConfig, build_model, make_module, model_config
from fourfold.models.inspection import count, forward_flops_by_operator
from fourfold.pretraining import (
    Comparison,
    Estimate,
    Job,
    ParallelPlan,
    Setup,
    compare_published,
    device_memory,
    fastest,
    flops,
    optimizer_bytes,
    parse_devices,
    parse_plan,
    rule_of_six,
)
from fourfold.resources import device_names, published_config, training_runs
from fourfold.training import OPTIMIZERS, make_optimizer


def tiny(family: str = "llama", **changes: object) -> Config:
    table = {"family": family, "layers": 4, "hidden_size": 64, "heads": 4, "context": 32, **changes}
    return model_config(table, 100)


def setup(plan: ParallelPlan, *, micro_batch: int = 1, batch_size: int = 32, **changes: Any) -> Setup:
    job = Job(config=tiny(), tokens=32_000, batch_size=batch_size, **changes)
    cluster = replace(parse_devices("A100-80GB"), count=plan.world)
    return Setup(job=job, cluster=cluster, plan=plan, micro_batch=micro_batch)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_operations_are_those_that_torch_counts(family: str) -> None:
    config = tiny(family)
    model = make_module(config)
    model.initialise(torch.Generator().manual_seed(0))
    ids = torch.zeros(1, 32, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.logits(model.hidden(Step(ids=ids))).sum().backward()
    operators = forward_flops_by_operator(config, 32)
    # Norms and biases are no products; the counter leaves them out.
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name.lower())
    tied = 0 if any("head" in name for name, _ in model.named_parameters()) else 100 * 64
    products = 2.0 * (weights + tied) + operators["attention scores"]
    positions = 2.0 * 32 * 64 if family == "gpt2" else 0.0
    assert counter.get_total_flops() in (3 * 32 * products, 3 * 32 * (products - positions))
    assert sum(operators.values()) == pytest.approx(products, rel=0.03)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "lstm"])
def test_states_weigh_what_the_real_optimizers_keep(kind: str, family: str) -> None:
    options = {"family": family, "layers": 2, "hidden_size": 64}
    table = options if family == "lstm" else {**options, "heads": 4, "context": 32}
    model = build_model(table, 100, seed=0)
    optimizer = make_optimizer(kind, model, 1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.ndim > 0
    )
    assert optimizer_bytes(model_config(table, 100), kind) == kept


def test_memory_of_a_device_by_hand() -> None:
    weights = count(tiny()).total
    whole = device_memory(setup(ParallelPlan()))
    assert whole["weights"] == 2 * weights
    assert whole["fp32 weights"] == whole["gradients"] == 4 * weights
    assert whole["optimizer"] == 8 * weights
    for shard in ("zero1", "zero2", "zero3"):
        split = setup(ParallelPlan(data=4, shard=shard))  # type: ignore[arg-type]
        parts = device_memory(split)
        for name in ("fp32 weights", "gradients", "optimizer"):
            assert parts[name] == pytest.approx(whole[name] / 4, abs=1), (shard, name)
        assert parts["weights"] == whole["weights"]  # autograd keeps the 16-bit copies of all layers
        if shard != "zero3":
            assert parts["gathered"] == 8 * weights  # weights, and gradients until they are summed
        else:
            assert 0 < parts["gathered"] < 8 * weights / 2
        theirs = device_memory(replace(split, gathered=2))
        assert theirs["gathered"] == pytest.approx(parts["gathered"] * 6 / 8)
        assert "weights" not in theirs  # what is gathered is the 16-bit copy


def test_pipeline_stages_hold_their_layers_and_tables() -> None:
    stages = setup(ParallelPlan(pipeline=4)).stages
    layer = (count(tiny()).total - 100 * 64) / 4  # the head is the table
    assert [stage.layers for stage in stages] == [1, 1, 1]  # first, middle, last
    assert stages[0].weights == pytest.approx(layer + 100 * 64, rel=0.01)
    assert [stage.in_flight for stage in stages] == [4, 3, 1]


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        ("none", lambda p: 2 * 4 * p * 3 / 4),  # fp32 gradients summed in a ring, twice three quarters of them
        ("zero1", lambda p: (4 + 2) * p * 3 / 4),
        ("zero2", lambda p: (4 * 8 + 2) * p * 3 / 4),  # 8 micro-batches
    ],
)
def test_what_other_programs_send_by_hand(shard: Any, expected: Any) -> None:
    """What ours sends is compared with real steps in test_traffic; others gather weights in 16 bits."""
    theirs = replace(setup(ParallelPlan(data=4, shard=shard)), gathered=2)
    assert theirs.most_sent == {"data": pytest.approx(expected(count(tiny()).total))}


def test_plans_that_our_training_refuses_are_not_offered() -> None:
    job = Job(config=published_config("palm:540b"), tokens=1e9, batch_size=64)  # one head of keys for all queries
    with pytest.raises(UserError, match="key-value heads cannot be divided by 'tensor'"):
        fastest(job, parse_devices("8xH100-80GB"), ParallelPlan(tensor=8))
    experts = tiny(experts={"count": 4, "active": 2})
    found = fastest(Job(config=experts, tokens=1e6, batch_size=64), parse_devices("8xA100-80GB"))
    assert found.setup.plan.tensor == found.setup.plan.pipeline == 1


def test_recomputing_and_a_given_rate() -> None:
    plain, again = setup(ParallelPlan(data=2)), setup(ParallelPlan(data=2), recompute=True)
    assert device_memory(again)["activations"] < device_memory(plain)["activations"]
    assert Estimate(setup=again).seconds > Estimate(setup=plain).seconds
    given = Estimate(setup=plain, given=0.5)
    assert given.seconds == pytest.approx(flops(plain.job) / (2 * 312e12 * 0.5))
    assert given.utilization == pytest.approx(0.5)


def test_a_stretch_keeps_the_keys_and_values_of_the_whole_row() -> None:
    """Two of three stretches' keys and values, in 16 bits, beside what tokens of its own leave."""
    alone, split = setup(ParallelPlan()), setup(ParallelPlan(context=4))
    stack = split.stacks[0]
    assert split.kept_here - alone.kept_here == 3 * 2 * 2 * stack.kv_heads * stack.head_size
    again = setup(ParallelPlan(context=4), recompute=True)
    assert 0 < device_memory(again)["activations"] < device_memory(split)["activations"]
    assert again.most_sent["context"] == 1.5 * split.most_sent["context"]


def test_a_buffer_for_sums_of_gradients_is_shared_by_nobody() -> None:
    """BigScience: 4 bytes x parameters more than in fp16, not sharded."""
    shared = setup(ParallelPlan(data=4, shard="zero1"))
    theirs = device_memory(replace(shared, accumulated=4))
    more = {name: size for name, size in theirs.items() if size != device_memory(shared).get(name)}
    assert more == {"accumulated": 4 * count(tiny()).total}


def test_bigscience_in_fp16_and_bf16_needs_what_it_says(comparisons: list[Comparison]) -> None:
    memory = {found.run.title: found.error or 0.0 for found in comparisons if found.quantity == "memory"}
    in_bf16 = {title for title in memory if "bf16" in title}
    assert (len(in_bf16), len(memory)) == (7, 17)
    assert all(abs(error) < 0.1 for error in memory.values()), memory


def test_the_fastest_plan_fits_and_no_other_is_faster() -> None:
    config = published_config("llama:7b")
    cluster = parse_devices("16xA100-40GB")
    best = fastest(Job(config=config, tokens=1e9, batch_size=64), cluster)
    assert sum(device_memory(best.setup).values()) <= cluster.memory
    assert best.setup.plan.world == 16
    other = fastest(Job(config=config, tokens=1e9, batch_size=64), cluster, ParallelPlan(data=2, tensor=8))
    assert best.seconds <= other.seconds


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    job = Job(config=published_config("llama:7b"), tokens=1e9, batch_size=64)
    with pytest.raises(UserError, match=r"does not fit on 1xA100-80GB.*would fit on 2xA100-80GB or 1xMI250X"):
        fastest(job, parse_devices("1xA100-80GB"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: parse_devices("8xA100-80BG"), "Did you mean 'A100-80GB'"),
        (lambda: parse_devices("0xA100-80GB"), "such as 2048xA100-80GB"),
        (lambda: parse_plan("datum=3"), "Did you mean 'data'"),
        (lambda: parse_plan("data=two"), "no number of ranks"),
        (lambda: parse_plan("data=2,shard=zero4"), "Did you mean 'zero3'|unknown kind of sharding"),
        (lambda: setup(ParallelPlan(data=3)), "do not divide by the mesh"),
        (lambda: setup(ParallelPlan(tensor=8)), "'tensor' does not divide the model"),
        (lambda: optimizer_bytes(tiny(), "adamv"), "Did you mean 'adamw'"),
        (
            lambda: Setup(job=setup(ParallelPlan()).job, cluster=parse_devices("4xT4-16GB"), plan=ParallelPlan()),
            "does not use the devices there are",
        ),
    ],
)
def test_mistakes_are_one_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        call()


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    return compare_published()


def test_published_trainings_agree_within_15_percent_or_say_why(comparisons: list[Comparison]) -> None:
    names = {found.run.preset for found in comparisons}
    assert {"gpt3:175b", "opt:175b", "bloom:176b", "llama:65b", "mt-nlg:530b", "glm:130b", "palm:540b"} <= names
    far = [f for f in comparisons if max(abs(f.error or 0), abs(f.own_error or 0)) > 0.155 and not f.run.note]
    assert not [(f.run.title, f.quantity, f.error) for f in far]
    at_their_rate = [f for f in comparisons if f.error is not None]
    assert sum(abs(f.error or 0) <= 0.15 for f in at_their_rate) >= 0.85 * len(at_their_rate)


def test_our_own_rate_holds_on_runs_it_was_not_fitted_to(comparisons: list[Comparison]) -> None:
    tested = [f for f in comparisons if f.run.title.startswith("GPT ") and not f.run.fitted and f.run.parallel]
    megatron = [f.own_error for f in tested if "ZeRO" not in f.run.title]
    assert len(megatron) == 6
    assert all(error is not None and abs(error) < 0.1 for error in megatron)


def test_every_device_and_run_has_its_source() -> None:
    assert all(len(card.source) > 10 for card in device_names().values())
    assert all(len(run.source) > 10 for run in training_runs().values())


def test_the_rule_of_six() -> None:
    config = published_config("gpt3:175b")
    assert isinstance(config, TransformerConfig)
    assert rule_of_six(Job(config=config, tokens=300e9)) == pytest.approx(3.14e23, rel=0.01)  # Brown et al., table D.1
