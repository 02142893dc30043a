"""What a plan holds and sends, by arithmetic, against what really goes into the collectives of a step."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fourfold.errors import UserError
from fourfold.models import make_module, model_config
from fourfold.pretraining import Job, Setup, Shared, communication, held, parse_devices
from fourfold.training import ParallelPlan
from fourfold.training.parallel import keep_stage, layers_of_stage, stays_in_stage
from tests.pretraining.measured_traffic import LENGTH, LLAMA, PLANS, ROWS, VOCABULARY


@pytest.mark.parametrize("world", [2, 4])
def test_bytes_are_those_measured(run_all, tmp_path, world):
    ended = run_all(world, "tests/pretraining/measured_traffic.py", world, tmp_path)
    assert [code for code, _ in ended] == [0] * world, "\n".join(text for _, text in ended)
    by_rank = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(world)]
    for name, (values, table) in PLANS[world].items():
        for stage in range(values.get("pipeline", 1)):
            shared = Shared(
                plan=ParallelPlan(**values),
                config=model_config(table, VOCABULARY),
                rows=ROWS,
                length=LENGTH,
                stage=stage,
                recompute="again" in name,
                product_bytes=2 if "bf16" in name else 4,
            )
            sent = communication(shared)
            if "bf16" in name:
                assert planned(shared)[stage] == sent, name
            if shared.plan.context > 1 == shared.plan.data:  # then one group sums gradients and gathers keys
                sent["data"] += sent.pop("context")
            found = [of_rank[name] for of_rank in by_rank if of_rank[name]["stage"] == stage]
            check(f"{name}, stage {stage}", [of_rank["sent"] for of_rank in found], sent)
            check(f"{name}, stage {stage}", [of_rank["held"] for of_rank in found], held(shared))


def planned(shared):
    """What `fourfold plan --devices` counts for each stage of the same step."""
    rows = shared.rows // (shared.plan.data * shared.plan.pieces)
    job = Job(config=shared.config, tokens=1e6, batch_size=shared.rows, context=LENGTH, recompute=shared.recompute)
    devices = replace(parse_devices("A100-80GB"), count=shared.plan.world)
    return Setup(job=job, cluster=devices, plan=shared.plan, micro_batch=rows).sent


def check(name, measured, counted):
    """The arithmetic is of the largest piece; where 61 words are split, other processes have fewer."""
    for part in measured[0]:
        sizes = [of_rank[part] for of_rank in measured]
        assert max(sizes) == counted[part], (name, part)
        assert min(sizes) >= 0.98 * counted[part], (name, part)
    assert set(measured[0]) == {part for part in counted if part != "gathered"}, name


def test_the_rule_of_two_and_three():
    """ZeRO-3 sends half as much again as data parallelism, 1 and 2 as much (Rajbhandari et al. 2020, section 7)."""
    config = model_config({"family": "llama", "layers": 12, "hidden_size": 768, "heads": 12, "context": 512}, 32_000)

    def sent(shard):
        plan = ParallelPlan(data=8, shard=shard)
        return communication(Shared(plan=plan, config=config, rows=64, length=512))["data"]

    assert sent("zero1") == sent("zero2") == sent("none")
    assert 1.3 < sent("zero3") / sent("none") < 1.5  # the table of tokens is gathered once, not twice


def test_what_is_asked_of_a_stage_that_is_not_there():
    config = model_config(LLAMA, VOCABULARY)
    with pytest.raises(UserError, match="there is no such stage, expected 0 to 1, got 2"):
        Shared(plan=ParallelPlan(pipeline=2), config=config, rows=8, length=16, stage=2)
    with pytest.raises(UserError, match="cannot be divided by 'data'"):
        Shared(plan=ParallelPlan(data=3), config=config, rows=8, length=16)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_what_is_counted_for_a_stage_is_what_the_stage_keeps(family, stages):
    table = {"family": family, "layers": 7, "hidden_size": 32, "heads": 4, "context": 32}
    config = model_config(table, VOCABULARY)
    layers = [len(layers_of_stage(7, stage, stages)) for stage in range(stages)]
    assert sum(layers) == 7
    assert layers[-1] == min(layers)
    names = [name for name, _ in make_module(config).named_parameters()]
    for stage in range(stages):
        model = make_module(config)
        if stages > 1:
            keep_stage(model, stage, stages)
        kept = {name for name, _ in model.named_parameters()}
        assert kept == {name for name in names if stays_in_stage(name, config, stage, stages)}
