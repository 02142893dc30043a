"""What a model says of its numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fourfold.inference.arithmetic import arithmetic_of
from fourfold.kernels import INSTRUCTIONS, kernels, pack
from fourfold.models import Packed


def test_plain_weights_are_named_by_their_types() -> None:
    mixed = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2).to(torch.bfloat16)])
    assert [arithmetic_of(one) for one in (mixed[0], mixed[1], mixed)] == ["fp32", "bf16", "bf16 and fp32"]
    assert (arithmetic_of("counts"), arithmetic_of(nn.ReLU())) == (None, None)


def test_packed_weights_are_named_by_bits_and_products() -> None:
    four = pack(torch.zeros(16, 32, dtype=torch.uint8), torch.ones(16, 1))
    eight = pack(torch.zeros(16, 32, dtype=torch.int8), torch.ones(16, 1))
    running = kernels()
    products = "in fp32" if running.library is None else f"in 8 bits ({INSTRUCTIONS[running.name]})"
    module = nn.ModuleList([Packed(eight), Packed(four), nn.LayerNorm(2)])
    assert arithmetic_of(module) == f"packed in 4 and 8 bits, products {products}, the rest fp32"


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_result_holds_them(tmp_path, dtype) -> None:  # type: ignore[no-untyped-def]
    import fourfold
    from fourfold.evaluation import evaluate, file_task
    from tests.serving.doubles import small

    small("llama").save(tmp_path / "model")
    (tmp_path / "task.jsonl").write_text('{"question": "a", "choices": ["b", "c"], "answer": 0}\n', "utf-8")
    model = fourfold.load(tmp_path / "model", dtype=dtype)
    results = evaluate({"m": model}, [file_task(tmp_path / "task.jsonl")], folder=tmp_path / "out")
    assert {row["arithmetic"] for row in results["rows"]} == {dtype}
