"""The same folder by our own code and by transformers: the same scores, answers and searches."""

from __future__ import annotations

import json

import pytest
import torch

from fourfold.errors import UserError
from fourfold.inference import Beam, Contrastive, LanguageModel, Sampling, Speculative, load
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

pytest.importorskip("transformers")
SIZES = {"layers": 2, "hidden_size": 32, "heads": 4, "context": 96}


@pytest.fixture(params=["llama", "gpt2"])
def folder(request, tmp_path):
    tokenizer = byte_tokenizer()
    module = build_model({"family": request.param, **SIZES}, tokenizer.vocabulary_size, seed=1).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3)
    LanguageModel(module, tokenizer).save(tmp_path / "model")
    return tmp_path / "model"


def test_everything_is_as_by_our_own_code(folder):
    own, other = load(folder), load(f"transformers:{folder}")
    assert other.capabilities == own.capabilities
    texts = ["Every byte is paid for.", "a", "some longer words here"]
    for mine, theirs in zip(own.score(texts), other.score(texts), strict=True):
        assert theirs.log_probs == pytest.approx(mine.log_probs, abs=1e-3)
    pairs = [("The sky is", " blue"), ("The sky is", " grey and low"), ("Two", " words")]
    for mine, theirs in zip(own.log_likelihood(pairs), other.log_likelihood(pairs), strict=True):
        assert theirs.log_prob == pytest.approx(mine.log_prob, abs=1e-3)
    prompts = ["ab", "a longer prompt", "xyxyxyxy"]
    for options in (
        {"temperature": 0},
        {"temperature": 0.8, "seed": 3, "top_k": 5},
        {"strategy": Beam(size=3)},
        {"temperature": 0, "strategy": Speculative(tokens=4)},
    ):
        sampling = Sampling(max_tokens=12, **options)
        mine, theirs = own.generate(prompts, sampling), other.generate(prompts, sampling)
        assert [answer.ids for answer in theirs] == [answer.ids for answer in mine]


def test_what_it_cannot_do_is_one_sentence(folder):
    with pytest.raises(UserError, match="hidden vectors"):
        load(f"transformers:{folder}").generate(["x"], Sampling(strategy=Contrastive()))


def test_no_code_and_no_pickle_of_a_folder_is_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "code.Mine", "AutoConfig": "code.Mine"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('the code ran')")
    with pytest.raises(UserError, match="transformers cannot load this folder"):
        load(f"transformers:{folder}")


def test_weights_in_pickles_are_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="transformers cannot load this folder"):
        load(f"transformers:{folder}")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="reads folders"):
        load(f"transformers:{tmp_path / 'model.gguf'}")
