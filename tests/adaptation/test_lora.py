import pytest
import torch

from fourfold.adaptation.peft import LoRAOptions, adapter_count, add_lora, merge_lora, trainable_parameters
from fourfold.errors import UserError
from fourfold.models import Linear, LowRankDelta, Step

IDS = torch.arange(24).view(2, 12)


def logits(model, adapters=None):
    return model.logits(model.hidden(Step(ids=IDS, adapters=adapters)))


def shake(model, seed=0):
    """Give the newest deltas an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Linear) and len(module.deltas):
                module.deltas[-1].up.normal_(0, 0.1, generator=generator)


def test_a_fresh_adapter_changes_nothing_and_alone_trains(llama):
    model = llama()
    before = logits(model)
    names = add_lora(model, LoRAOptions(rank=4))
    assert len(names) == 2 * 7
    assert torch.equal(logits(model), before)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all(".deltas.0." in name for name in trained)
    assert len(trained) == 2 * 14
    sizes = [(module.in_size + module.out_size) * 4 for module in model.modules() if isinstance(module, Linear)]
    assert trainable_parameters(model) == sum(sizes)  # the head is tied, so it is no Linear


def test_merged_equals_adapter(llama):
    model = llama()
    plain = logits(model)
    add_lora(model, LoRAOptions(rank=4, alpha=8))
    shake(model)
    adapted = logits(model)
    assert (adapted - plain).abs().max() > 0.1
    merge_lora(model)
    assert adapter_count(model) == 0
    assert (logits(model) - adapted).abs().max() <= 1e-5


def test_a_bf16_model_is_merged_in_fp32(llama):
    model = llama().bfloat16()
    add_lora(model, LoRAOptions(rank=4))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    linear = next(module for module in model.modules() if isinstance(module, Linear) and len(module.deltas))
    weight = linear.weight.float()
    delta = linear.deltas[0]
    with torch.no_grad():
        delta.up.fill_(1e-5)
    expected = weight + delta.scale * delta.up @ delta.down
    merge_lora(model)
    assert torch.equal(linear.weight, expected)
    assert not torch.equal(linear.weight, weight)


def test_the_prefix_of_two_adapters_is_the_first(llama):
    model = llama()
    plain = logits(model)
    add_lora(model, LoRAOptions(rank=4, dropout=0.5))
    shake(model)
    model.eval()
    first = logits(model)
    add_lora(model, LoRAOptions(rank=2), seed=1)
    shake(model, seed=1)
    model.train()
    assert adapter_count(model) == 2
    assert torch.equal(logits(model, 1), first)
    assert torch.equal(logits(model, 0), plain)
    assert not torch.equal(logits(model), first)
    assert all(".deltas.1." in name for name, parameter in model.named_parameters() if parameter.requires_grad)


def test_unknown_and_unequal_targets_are_errors(llama):
    model = llama()
    with pytest.raises(UserError, match=r"'wq'.*query"):
        add_lora(model, LoRAOptions(targets=("wq",)))
    add_lora(model, LoRAOptions(targets=("query",)))
    with pytest.raises(UserError, match="targets of the first"):
        add_lora(model, LoRAOptions(targets=("query", "value")))
    with pytest.raises(UserError, match="targets of the first"):
        add_lora(model, LoRAOptions(targets=("value",)))
    with pytest.raises(UserError, match="positive"):
        LoRAOptions(rank=0)


def test_forward_and_gradients_equal_peft():
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    theirs_base = torch.nn.Sequential(torch.nn.Linear(12, 10))
    ours = torch.nn.ModuleDict({"query": Linear(12, 10, bias=True)})
    with torch.no_grad():
        ours["query"].weight.copy_(theirs_base[0].weight)
        ours["query"].bias.copy_(theirs_base[0].bias)
    theirs = peft.get_peft_model(theirs_base, peft.LoraConfig(r=3, lora_alpha=7, target_modules=["0"]))
    add_lora(ours, LoRAOptions(rank=3, alpha=7, targets=("query",)))
    delta = ours["query"].deltas[0]
    assert isinstance(delta, LowRankDelta)
    pairs = [
        (delta.down, next(p for n, p in theirs.named_parameters() if "lora_A" in n)),
        (delta.up, next(p for n, p in theirs.named_parameters() if "lora_B" in n)),
    ]
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(torch.randn_like(mine))
            other.copy_(mine)
    for model in (ours, theirs):
        model.double()  # in fp32 the two orders of the scaling differ by rounding alone
    x = torch.randn(5, 12, dtype=torch.float64)
    mine_out, their_out = ours["query"](x), theirs(x)
    assert (mine_out - their_out).abs().max() <= 1e-5
    mine_out.square().sum().backward()
    their_out.square().sum().backward()
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)
