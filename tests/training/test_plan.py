import pytest

from fourfold.errors import UserError
from fourfold.models import model_config
from fourfold.training import ParallelPlan

SMALL = {"family": "llama", "layers": 4, "hidden_size": 32, "heads": 4, "kv_heads": 2, "context": 32}


@pytest.mark.parametrize(
    ("plan", "rows", "sentence"),
    [
        ({"data": 3}, 8, "the rows of a batch cannot be divided by 'data'.*expected a multiple of 3, got 8"),
        ({"data": 2, "micro_batches": 3}, 8, "expected a multiple of 6, got 8"),
        ({"context": 3}, 8, "the tokens of a row cannot be divided by 'context', expected a multiple of 3, got 32"),
    ],
)
def test_a_batch_that_the_grid_cannot_divide(plan, rows, sentence):
    with pytest.raises(UserError, match=sentence):
        ParallelPlan(**plan).check_batch(rows, 32)


@pytest.mark.parametrize(
    ("plan", "model", "sentence"),
    [
        ({"tensor": 4}, {}, "the key-value heads cannot be divided by 'tensor', expected a multiple of 4, got 2"),
        ({"pipeline": 8}, {}, "there are fewer layers than stages, expected a pipeline of 4 or less, got 8"),
        ({"tensor": 2}, {"positions": "relative"}, "'tensor' is not written for models with relative positions"),
        ({"tensor": 2}, {"query_key_norm": "head"}, "'tensor' is not written for models with norms of queries"),
        ({"pipeline": 2}, {"experts": 4}, "'pipeline' is not written for models with experts"),
        ({"context": 2}, {"mask": "prefix"}, "'context' is not written for models with prefix attention"),
    ],
)
def test_a_model_that_the_grid_cannot_divide(plan, model, sentence):
    with pytest.raises(UserError, match=sentence):
        ParallelPlan(**plan).check_model(model_config(SMALL | model, 61))


def test_other_families_are_only_repeated_or_sharded():
    config = model_config({"family": "lstm", "layers": 1, "hidden_size": 16}, 61)
    ParallelPlan(data=4, shard="zero3").check_model(config)
    with pytest.raises(UserError, match="only a model of one transformer stack can be divided by tensor"):
        ParallelPlan(tensor=2).check_model(config)


def test_sizes_and_micro_batches():
    with pytest.raises(UserError, match="'data' is out of range, expected 1 or more, got 0"):
        ParallelPlan(data=0)
    with pytest.raises(UserError, match="a pipeline runs dry"):
        ParallelPlan(pipeline=4, micro_batches=2)
    plan = ParallelPlan(pipeline=4, data=2, tensor=2, context=3)
    assert (plan.world, plan.replicas, plan.pieces) == (48, 6, 4)
    assert str(plan) == "pipeline 4, data 2, context 3, tensor 2"
