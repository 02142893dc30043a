"""Model folders: ours and Hugging Face's, through files on disk."""

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fourfold.errors import UserError
from fourfold.models import FAMILIES as RECIPE_FAMILIES
from fourfold.models import RecurrentLM, TransformerLM, build_model, make_module, model_config
from fourfold.models.families import FAMILIES as ECOSYSTEM
from fourfold.models.files import load_model, save_model
from fourfold.models.files.tensors import Weights, write_weights
from fourfold.models.interop import normal
from fourfold.models.recurrent import RecurrentConfig
from fourfold.models.transformer import ALiBi, Attention, FeedForward, Head, Learned, Norm, Rotary, TransformerConfig

IDS = torch.tensor([[1, 5, 9, 2, 40, 7]])


def llama(**changes):
    config = TransformerConfig(
        vocabulary_size=50,
        hidden_size=32,
        layers=2,
        context=64,
        attention=Attention(heads=4, kv_heads=2),
        feed_forward=FeedForward(size=48),
        norm=Norm(epsilon=1e-6),
        positions=Rotary(base=5000.0),
    )
    return made(TransformerLM, replace(config, **changes))


def made(kind, config):
    model = kind(config)
    model.initialise(torch.Generator().manual_seed(3))
    # The usual start is so small that wrong wiring would hardly show.
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    return model.eval()


VARIANTS = {
    "tied": {},
    "untied": {"head": Head(tied=False)},
    "biases": {"attention": Attention(heads=4, kv_heads=1, bias=True), "feed_forward": FeedForward(size=48, bias=True)},
    "wide heads": {"attention": Attention(heads=4, kv_heads=4, head_size=16)},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_transformers_reads_what_we_save(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    model = llama(**VARIANTS[name])
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    save_model(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.allclose(model(IDS)[0], theirs(IDS).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_we_read_what_transformers_saves(tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    with torch.no_grad():
        assert torch.allclose(ours(IDS)[0], theirs(IDS).logits, atol=1e-5, rtol=1e-5)
    save_model(ours, tmp_path / "ours")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_old_keys_are_read(tmp_path):
    model = llama(positions=Rotary(base=123_456.0))
    save_model(model, tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text())
    del keys["rope_parameters"], keys["dtype"]
    keys |= {"rope_theta": 123_456.0, "torch_dtype": "float32"}
    (tmp_path / "config.json").write_text(json.dumps(keys))
    assert load_model(tmp_path).config == model.config


def test_an_unknown_scaling_of_positions_is_refused(tmp_path):
    save_model(llama(), tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text())
    keys["rope_parameters"] = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2}
    (tmp_path / "config.json").write_text(json.dumps(keys))
    with pytest.raises(UserError, match="longrope"):
        load_model(tmp_path)


def test_shards_and_whole_file_are_the_same(tmp_path):
    model = llama()
    save_model(model, tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    write_weights(tmp_path, whole, shard_bytes=10_000)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    again = load_model(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    next(tmp_path.glob("model-00002-*")).unlink()
    with pytest.raises(UserError, match="names a file that is not there: model-00002"):
        load_model(tmp_path)


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
@pytest.mark.parametrize("tied", [True, False])
def test_recurrent_models_come_back(tmp_path, cell, tied):
    config = RecurrentConfig(vocabulary_size=50, hidden_size=16, layers=2, cell=cell, tied_embeddings=tied)
    model = made(RecurrentLM, config)
    save_model(model, tmp_path, {"eos_token_id": 3})
    again = load_model(tmp_path)
    assert isinstance(again, RecurrentLM)
    assert again.config == config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(again(IDS)[0], model(IDS)[0])  # mapped weights lie at other addresses: other kernels
    keys = json.loads((tmp_path / "config.json").read_text())
    assert (keys["model_type"], keys["eos_token_id"]) == ("fourfold-recurrent", 3)


def test_an_architecture_no_family_has_comes_back(tmp_path):
    model = llama(positions=Learned(), norm=Norm(kind="layer"))
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "fourfold-transformer"
    again = load_model(tmp_path)
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(again(IDS)[0], model(IDS)[0])  # mapped weights lie at other addresses: other kernels


def test_our_files_from_before_heads_had_parts_are_read(tmp_path):
    model = llama(positions=ALiBi(), head=Head(tied=False))
    save_model(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["head.weight"] = tensors.pop("head.projection.weight")
    save_file(tensors, tmp_path / "model.safetensors")
    keys = json.loads((tmp_path / "config.json").read_text())
    del keys["head"]
    (tmp_path / "config.json").write_text(json.dumps(keys | {"tied_embeddings": False}))
    again = load_model(tmp_path)
    assert again.config == model.config
    assert torch.equal(again.head.projection.weight, model.head.projection.weight)


def test_models_of_recipes_come_back(tmp_path):
    for family in RECIPE_FAMILIES:
        # BART's files tell an empty text by two ids, its beginning and its end.
        ids = {"empty_source": [0, 2]} if family == "bart" else {}
        model = build_model({"family": family, "layers": 1, "hidden_size": 32, "heads": 2, **ids}, 60)
        save_model(model, tmp_path / family)
        again = load_model(tmp_path / family)
        kind = json.loads((tmp_path / family / "config.json").read_text())["model_type"]
        assert kind == (family if family in ECOSYSTEM else f"fourfold-{'elmo' if family == 'elmo' else 'recurrent'}")
        if family in ECOSYSTEM:
            assert normal(again.config) == normal(model.config)
        else:
            assert again.config == model.config
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_dtype_is_kept_or_changed(tmp_path):
    save_model(llama().to(torch.bfloat16), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert next(load_model(tmp_path).parameters()).dtype == torch.bfloat16
    assert next(load_model(tmp_path, torch.float32).parameters()).dtype == torch.float32
    chosen = load_model(tmp_path, lambda module: torch.float32 if module.config.layers == 2 else None)
    assert {p.dtype for p in chosen.parameters()} == {torch.float32}


def test_another_precision_holds_no_second_copy(tmp_path, monkeypatch):
    """Every tensor is turned before the next is asked for, and what the file gave is gone by then."""
    save_model(llama().to(torch.bfloat16), tmp_path)
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0
    plain = Weights.alone

    def watched(self, name):
        nonlocal most
        turned = plain(self, name)
        with safe_open(self._paths[name], framework="pt") as stream:
            assert torch.equal(turned, stream.get_tensor(name).float())
        most = max(most, sum(ref() is not None for ref in alive))
        return turned

    plain_to = torch.Tensor.to

    def to(tensor, *arguments, **options):
        alive.append(weakref.ref(tensor))
        return plain_to(tensor, *arguments, **options)

    monkeypatch.setattr(Weights, "alone", watched)
    monkeypatch.setattr(torch.Tensor, "to", to)
    model = load_model(tmp_path, torch.float32)
    assert len(alive) >= len(list(model.parameters()))
    assert most == 0


def test_missing_extra_and_misshaped_tensors_are_all_named(tmp_path):
    save_model(llama(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.norm.weight"]
    tensors["model.extra.weight"] = torch.zeros(2)
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 3)
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError) as caught:
        load_model(tmp_path)
    told = str(caught.value)
    assert "1 missing: model.norm.weight" in told
    assert "1 not wanted: model.extra.weight" in told
    assert "model.layers.0.mlp.up_proj.weight (3, 3) instead of (48, 32)" in told
    assert "not numbers: model.layers.1.mlp.up_proj.weight" in told


def test_at_most_ten_names_are_shown(tmp_path):
    save_model(llama(), tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"20 missing: .* and 10 more"):
        load_model(tmp_path)


def test_old_rotary_tables_and_a_copied_tied_head_are_ignored(tmp_path):
    save_model(llama(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, tmp_path / "model.safetensors")
    assert load_model(tmp_path).head.projection is None


@pytest.mark.parametrize("size", [0, 4, 100, 5000])
def test_truncated_weights_are_one_sentence(tmp_path, size):
    save_model(llama(), tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:size])
    with pytest.raises(UserError, match="damaged or truncated"):
        load_model(tmp_path)


def test_unknown_architecture_names_the_nearest(tmp_path):
    save_model(llama(), tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "lama"}
    (tmp_path / "config.json").write_text(json.dumps(keys))
    with pytest.raises(UserError, match=r"unknown model architecture 'lama'.*'llama'"):
        load_model(tmp_path)


def test_pickled_weights_are_refused_with_advice(tmp_path):
    save_model(llama(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model.bin, a pickle file.* Convert it"):
        load_model(tmp_path)


def test_a_folder_without_weights_or_keys_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_model(tmp_path / "none")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    save_model(llama(), tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="lacks the key"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="without weights"):
        load_model(tmp_path)


def edited(folder, **changes):
    keys = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**keys, **changes}))


@pytest.mark.parametrize(("changes", "message"), [
    ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config changes what is computed"),
    ({"logits_scaling": 8.0}, "logits_scaling changes what is computed.*expected 1, got 8.0"),
    ({"num_hidden_layers": 10**9}, "layers is out of range"),
    ({"num_hidden_layers": 9999}, "more layers than there are tensors"),
    ({"vocab_size": 10**18}, "vocabulary_size is out of range"),
    ({"vocab_size": 1 << 31, "hidden_size": 1 << 31}, "sizes in the configuration are senseless"),
    ({"hidden_size": "32"}, "wrong type"),
    ({"num_hidden_layers": 2.0}, "'layers' has the wrong type"),
    ({"rms_norm_eps": "small"}, "'epsilon' has the wrong type"),
    ({"rope_parameters": "yarn"}, "wrong type"),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "lacks the key 'factor'"),
    ({"num_attention_heads": 0}, "heads is out of range"),
    ({"architectures": 3}, "wrong type"),
])  # fmt: skip
def test_senseless_configurations_are_refused(tmp_path, changes, message):
    save_model(llama(), tmp_path)
    edited(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path)


def test_harmless_keys_are_ignored(tmp_path):
    save_model(llama(), tmp_path)
    edited(tmp_path, use_cache=False, pretraining_tp=4, bos_token_id=1, unheard_of={"a": 1}, alibi=False)
    assert isinstance(load_model(tmp_path), TransformerLM)


def test_numbers_of_other_types_are_refused(tmp_path):
    save_model(llama(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int64)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"whole numbers are not supported, got model.norm.weight"):
        load_model(tmp_path)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].to(torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"1 of a type that is not computed with: model.embed_tokens.weight .*float8"):
        load_model(tmp_path)


@pytest.mark.parametrize("metadata", [{}, {"metadata": {"total_parameters": 3, "total_size": 9}}])
def test_indexes_old_and_new_are_read(tmp_path, metadata):
    model = llama()
    save_model(model, tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    write_weights(tmp_path, whole, shard_bytes=10_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index["weight_map"], **metadata}))
    again = load_model(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(("claimed", "size", "message"), [
    (1 << 62, 100, "claims more bytes than there are"),
    (200, 100, "claims more bytes than there are"),
    (100_000_000, 100_000_100, "header is senselessly long"),
])  # fmt: skip
def test_headers_that_claim_too_much_are_refused(tmp_path, claimed, size, message):
    save_model(llama(), tmp_path)
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.write(claimed.to_bytes(8, "little"))
        stream.truncate(size)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path)


def test_weights_are_mapped_not_read(tmp_path):
    save_model(llama(), tmp_path)
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("only Linux tells what is mapped")
    model = load_model(tmp_path)
    assert str(tmp_path / "model.safetensors") in maps.read_text()
    del model
    gc.collect()
    assert str(tmp_path / "model.safetensors") not in maps.read_text()


def test_encoder_and_decoder_share_their_embedding(tmp_path):
    model = build_model({"family": "t5", "layers": 1, "hidden_size": 32, "heads": 2, "gated": True}, 60)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert normal(again.config) == normal(model.config)
    assert again.decoder.embedding.weight is again.encoder.embedding.weight
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_folder_holds_one_model_however_it_is_split(tmp_path):
    first, second = llama(), llama(layers=1)
    save_model(first, tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    save_model(second, tmp_path)
    write_weights(tmp_path, whole, shard_bytes=10_000)
    assert not (tmp_path / "model.safetensors").exists()
    save_model(second, tmp_path)
    assert load_model(tmp_path).config == second.config
    assert not (tmp_path / "model.safetensors.index.json").exists()


def test_added_keys_do_not_change_what_a_key_of_the_family_means(tmp_path):
    config = model_config({"family": "t5", "layers": 1, "hidden_size": 32, "heads": 2}, 50)
    module = make_module(replace(config, decoder_start_id=3))
    module.initialise(torch.Generator().manual_seed(0))
    save_model(module, tmp_path, {"pad_token_id": 9, "bos_token_id": 8})
    keys = json.loads((tmp_path / "config.json").read_text())
    assert (keys["pad_token_id"], keys["decoder_start_token_id"], keys["bos_token_id"]) == (3, 3, 8)


def test_a_fused_tensor_of_the_wrong_shape_is_told_once_and_by_the_name_in_the_file(tmp_path):
    keys = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8, "vocab_size": 20}
    config = ECOSYSTEM["gpt2"].read_config(keys)
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    save_model(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["transformer.h.0.attn.c_attn.weight"] = torch.zeros(16, 40)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError) as caught:
        load_model(tmp_path)
    told = "1 of the wrong shape: transformer.h.0.attn.c_attn.weight (16, 40) instead of (16, 48)"
    assert told in str(caught.value)
    assert "missing" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "right"),
    [
        ("h.0.attn.c_attn.weight", (12, 48), (16, 48)),
        ("h.0.mlp.c_fc.weight", (64, 16), (16, 64)),
        ("h.0.attn.c_attn.bias", (40,), (48,)),
        ("wte.weight", (21, 16), (20, 16)),
    ],
)
@pytest.mark.parametrize("head", [True, False])
def test_shapes_are_told_as_the_file_has_them(tmp_path, name, shape, right, head):
    keys = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8, "vocab_size": 20}
    keys |= {} if head else {"architectures": ["GPT2Model"]}
    model = TransformerLM(ECOSYSTEM["gpt2"].read_config(keys))
    model.initialise(torch.Generator().manual_seed(0))
    save_model(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = ("transformer." if head else "") + name
    assert tuple(tensors[name].shape) == right
    save_file(tensors | {name: torch.zeros(shape)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError) as caught:
        load_model(tmp_path)
    assert f"1 of the wrong shape: {name} {shape} instead of {right}" in str(caught.value)
    assert "missing" not in str(caught.value)
    assert "wanted" not in str(caught.value)
