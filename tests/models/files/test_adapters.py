"""PEFT adapters: ours load there, theirs load here, and both give the same logits."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fourfold.errors import UserError
from fourfold.models import Linear, LowRankDelta, Step, TransformerLM, build_model
from fourfold.models.files import attach_adapter, load_model, save_adapter, save_model

# A property of transformers that peft still asks for.
OLD_PROPERTY = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
IDS = torch.tensor([[1, 5, 9, 2, 40, 7]])
TARGETS = ("query", "value", "down")


def base():
    model = build_model({"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "kv_heads": 2}, 50, seed=1)
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    return model.eval()


def adapt(model, rank=4, scale=2.0, targets=TARGETS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for name, layer in model.named_modules():
        if isinstance(layer, Linear) and name.rpartition(".")[2] in targets:
            delta = LowRankDelta(layer.in_size, layer.out_size, rank, scale)
            nn.init.normal_(delta.down, std=0.3, generator=generator)
            nn.init.normal_(delta.up, std=0.3, generator=generator)
            layer.deltas.append(delta)
    return model


def logits(model):
    with torch.no_grad():
        return model(IDS)[0]


def close(a, b):
    return torch.allclose(a, b, atol=1e-5, rtol=1e-5)


def test_an_adapter_comes_back(tmp_path):
    model = adapt(base())
    assert not close(logits(model), logits(base()))
    save_adapter(model, tmp_path, "smollm2")
    again = base()
    attach_adapter(again, tmp_path)
    assert torch.equal(logits(again), logits(model))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "smollm2"
    assert config["target_modules"] == ["down_proj", "q_proj", "v_proj"]
    assert (config["r"], config["lora_alpha"]) == (4, 8)


@OLD_PROPERTY
@pytest.mark.parametrize("kind", ["plain", "stacked", "partial", "uneven"])
def test_peft_loads_our_adapter(tmp_path, kind):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    save_model(base(), tmp_path / "base")
    model = adapt(base())
    if kind == "stacked":
        adapt(model, rank=2, scale=0.5, targets=("query", "gate"), seed=1)
    if kind == "partial":
        model.stack.layers[0].attention.query.deltas = nn.ModuleList()
    if kind == "uneven":
        adapt(model, rank=3, scale=1.5, targets=("up",), seed=2)
    save_adapter(model, tmp_path / "adapter", str(tmp_path / "base"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        assert close(theirs(IDS).logits, logits(model))
    again = base()
    attach_adapter(again, tmp_path / "adapter")
    assert close(logits(again), logits(model))


@OLD_PROPERTY
@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 5}}],
    ids=["plain", "rank-stabilised", "patterns"],
)
def test_we_load_pefts_adapter(tmp_path, options):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    save_model(base(), tmp_path / "base")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "o_proj", "up_proj"], init_lora_weights=False, **options
    )
    torch.manual_seed(0)
    theirs = peft.get_peft_model(theirs, settings).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_model(tmp_path / "base")
    attach_adapter(ours, tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(IDS).logits
    assert close(logits(ours), expected)
    assert not close(logits(base()), expected)


def test_a_model_that_carries_an_adapter_is_not_saved_as_a_model(tmp_path):
    with pytest.raises(UserError, match="carries an adapter"):
        save_model(adapt(base()), tmp_path)
    with pytest.raises(UserError, match="carries no adapter"):
        save_adapter(base(), tmp_path, "smollm2")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"peft_type": "IA3"}, "only LoRA"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "fully trained modules"),
    ],
)
def test_adapters_we_cannot_honour_are_refused(tmp_path, change, told):
    save_adapter(adapt(base()), tmp_path, "smollm2")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=told):
        attach_adapter(base(), tmp_path)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    save_adapter(adapt(base()), tmp_path, "smollm2")
    small = build_model({"family": "llama", "layers": 1, "hidden_size": 32, "heads": 4, "kv_heads": 2}, 50)
    with pytest.raises(UserError, match=r"no layer model\.layers\.1"):
        attach_adapter(small, tmp_path)
    wide = build_model({"family": "llama", "layers": 2, "hidden_size": 64, "heads": 4, "kv_heads": 2}, 50)
    assert isinstance(wide, TransformerLM)
    with pytest.raises(UserError, match="misshaped"):
        attach_adapter(wide, tmp_path)


GPT2 = {"family": "gpt2", "layers": 2, "hidden_size": 32, "heads": 4}


def gpt2():
    model = build_model(GPT2, 50, seed=1)
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    return model.eval()


@OLD_PROPERTY
@pytest.mark.parametrize("targets", [("query", "value"), ("query", "key", "value", "up")])
def test_adapters_of_parts_become_one_of_the_fused_layer(tmp_path, targets):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    save_model(gpt2(), tmp_path / "base")
    model = adapt(gpt2(), targets=targets)
    save_adapter(model, tmp_path / "adapter", str(tmp_path / "base"))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert "c_attn" in config["target_modules"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    again = gpt2()
    attach_adapter(again, tmp_path / "adapter")
    with torch.no_grad():
        assert close(theirs(IDS).logits, logits(model))
    assert close(logits(again), logits(model))


@OLD_PROPERTY
@pytest.mark.parametrize(("family", "targets"), [
    ("gpt2", ["c_attn", "c_fc"]),
    ("gpt_neox", ["query_key_value", "dense"]),
    ("falcon", ["query_key_value", "dense_4h_to_h"]),
    ("bert", ["query", "value"]),
])  # fmt: skip
def test_adapters_of_other_families_are_read_and_written_back(tmp_path, family, targets):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    config = transformers.AutoConfig.for_model(
        family, vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    kind = transformers.AutoModelForMaskedLM if family == "bert" else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    kind.from_config(config).save_pretrained(tmp_path / "base")
    theirs = kind.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False, fan_in_fan_out=family == "gpt2"
    )
    theirs = peft.get_peft_model(theirs, settings).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = load_model(tmp_path / "base")
    attach_adapter(ours, tmp_path / "adapter")
    save_adapter(ours, tmp_path / "again", str(tmp_path / "base"))
    back = load_model(tmp_path / "base")
    attach_adapter(back, tmp_path / "again")
    step = Step(ids=IDS)
    with torch.no_grad():
        expected = theirs(IDS).logits
        for model in (ours, back):
            assert close(model.logits(model.hidden(step)), expected)
    kept = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert (kept["r"], sorted(kept["target_modules"])) == (4, sorted(targets))


def test_senseless_factors_are_refused(tmp_path):
    save_adapter(adapt(base()), tmp_path, "smollm2")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = next(iter(tensors))
    for bad in (torch.zeros(()), torch.full_like(tensors[name], float("nan"))):
        save_file({**tensors, name: bad}, tmp_path / "adapter_model.safetensors")
        with pytest.raises(UserError, match="not a matrix of numbers"):
            attach_adapter(base(), tmp_path)
