"""Every shape of every encoder family against tiny random models of `transformers`, through files on disk."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import TOLERANCE, Case, Pair, age, difference, make_pair, random_ids, read_back
from oracle_encoders import BERT, ENCODERS, ROBERTA
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.models import Step
from fourfold.models.families import family_named
from fourfold.models.files import load_model, save_model

pytest.importorskip("transformers")

LENGTH = 24


@pytest.fixture(scope="module", params=ENCODERS, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Their model, and ours read from the folder they wrote."""
    return make_pair(request.param, tmp_path_factory.mktemp("oracle"))


def their_outputs(model: Any, ids: Tensor, **more: Any) -> dict[str, Tensor]:
    """What the model says, by our names of it."""
    with torch.no_grad():
        found = model(input_ids=ids, **more)
    outputs = {}
    if "last_hidden_state" in found:
        outputs["hidden"] = found.last_hidden_state
    if found.get("pooler_output") is not None:
        outputs["pooled"] = found.pooler_output
    if "start_logits" in found:
        outputs["classes"] = torch.stack((found.start_logits, found.end_logits), -1)
    if "prediction_logits" in found:
        outputs |= {"logits": found.prediction_logits, "classes": found.seq_relationship_logits}
    elif "logits" in found and found.logits.shape[-1] == model.config.vocab_size:
        outputs["logits"] = found.logits
    elif "logits" in found:  # a discriminator has one number a token
        outputs["classes"] = found.logits[..., None] if found.logits.shape == ids.shape else found.logits
    return outputs


def our_outputs(model: Any, wanted: Any, ids: Tensor, **more: Any) -> dict[str, Tensor]:
    with torch.no_grad():
        hidden = model.hidden(Step(ids=ids, **more))
        parts = {"hidden": lambda: hidden, "pooled": lambda: model.pooled(hidden)}
        parts |= {"logits": lambda: model.logits(hidden), "classes": lambda: model.classify(hidden)}
        return {name: parts[name]() for name in wanted}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = TOLERANCE) -> None:
    assert theirs
    assert {name: error for name in theirs if (error := difference(ours[name], theirs[name])) > tolerance} == {}


def two_kinds(model: Any, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Segments for both, where the model knows two kinds."""
    if getattr(model.config, "type_vocab_size", 0) < 2:
        return {}, {}
    kinds = (torch.arange(ids.shape[1]) > 9).long().expand_as(ids)
    return {"segments": kinds}, {"token_type_ids": kinds}


def test_outputs_are_theirs(pair: Pair) -> None:
    ids = random_ids(2, LENGTH)
    ours, theirs = two_kinds(pair.theirs, ids)
    wanted = their_outputs(pair.theirs, ids, **theirs)
    assert_same(our_outputs(pair.ours, wanted, ids, **ours), wanted)


def test_layers_are_theirs(pair: Pair) -> None:
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        theirs = pair.theirs(input_ids=ids, output_hidden_states=True).hidden_states
        ours = pair.ours.encode(ids, torch.ones_like(ids, dtype=torch.bool))
    assert len(ours) == len(theirs)
    assert max(map(difference, ours, theirs)) <= TOLERANCE


def test_what_we_save_they_read_and_bytes_are_kept(pair: Pair, tmp_path: Path) -> None:
    save_model(pair.ours, tmp_path)
    written, original = (folder / "model.safetensors" for folder in (tmp_path, pair.folder))
    assert written.read_bytes() == original.read_bytes()
    ids = random_ids(2, LENGTH)
    assert_same(their_outputs(read_back(pair.case, tmp_path), ids), their_outputs(pair.theirs, ids), 1e-6)
    assert load_model(tmp_path).config == pair.ours.config
    names = (read_json(folder / "config.json")["architectures"] for folder in (tmp_path, pair.folder))
    assert len(set(map(tuple, names))) == 1


def test_padding_is_not_seen(pair: Pair) -> None:
    ids, lengths = random_ids(3, LENGTH), torch.tensor([LENGTH, 7, 15])
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    filled = torch.where(mask.bool(), ids, pair.theirs.config.pad_token_id)
    theirs = their_outputs(pair.theirs, filled, attention_mask=mask)
    ours = our_outputs(pair.ours, theirs, filled, lengths=lengths)
    for name, found in ours.items():
        if found.dim() == 3:
            ours[name], theirs[name] = found[mask.bool()], theirs[name][mask.bool()]
    assert_same(ours, theirs)


def test_left_padded_and_packed_rows_equal_rows_alone(pair: Pair) -> None:
    ids = random_ids(2, LENGTH)
    documents = torch.tensor([[0] * 9 + [1] * (LENGTH - 9), [4] * 15 + [6] * (LENGTH - 15)])  # row 0: 9 of padding
    with torch.no_grad():
        together = pair.ours.hidden(Step(ids=ids, documents=documents))
    for row, start, end in ((0, 9, LENGTH), (1, 0, 15), (1, 15, LENGTH)):
        part = ids[row : row + 1, start:end]
        with torch.no_grad():
            alone = pair.theirs(input_ids=part, output_hidden_states=True).hidden_states[-1]
        assert difference(together[row : row + 1, start:end], alone) <= TOLERANCE


@pytest.mark.parametrize("pair", [case for case in BERT if "next sentence" in case.label], ids=str, indirect=True)
def test_gradients_are_theirs(pair: Pair, tmp_path: Path) -> None:
    ids, labels, order = random_ids(2, LENGTH), random_ids(2, LENGTH, seed=6), torch.tensor([0, 1])
    theirs, ours = copy.deepcopy(pair.theirs), copy.deepcopy(pair.ours)
    theirs(input_ids=ids, labels=labels, next_sentence_label=order).loss.backward()
    hidden = ours.hidden(Step(ids=ids))
    loss = F.cross_entropy(ours.logits(hidden).flatten(0, 1), labels.flatten())
    (loss + F.cross_entropy(ours.classify(hidden), order)).backward()
    for parameter in ours.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad  # saved as weights, gradients are named and laid out as theirs
    save_model(ours, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert found.keys() == wanted.keys()
    assert {name: error for name in wanted if (error := difference(found[name], wanted[name])) > TOLERANCE} == {}


@pytest.mark.parametrize("pair", [BERT[1]], ids=str, indirect=True)
def test_old_names_of_norms_and_copies_are_read(pair: Pair, tmp_path: Path) -> None:
    tensors = load_file(pair.folder / "model.safetensors")
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
           for name, tensor in tensors.items()}  # fmt: skip
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"].clone()
    old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"].clone()
    old["bert.embeddings.position_ids"] = torch.arange(64)[None]
    old["bert.pooler.dense.weight"], old["bert.pooler.dense.bias"] = torch.ones(32, 32), torch.ones(32)
    old["cls.seq_relationship.weight"], old["cls.seq_relationship.bias"] = torch.ones(2, 32), torch.ones(2)
    save_file(old, tmp_path / "model.safetensors")
    write_json(tmp_path / "config.json", read_json(pair.folder / "config.json"))
    ours, again = pair.ours.state_dict(), load_model(tmp_path).state_dict()
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)


@pytest.mark.parametrize("pair", [BERT[0], ROBERTA[0]], ids=str, indirect=True)
def test_an_encoder_without_a_pooler_is_read_and_saved(pair: Pair, tmp_path: Path) -> None:
    tensors = load_file(pair.folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "pooler" not in name}, tmp_path / "model.safetensors"
    )
    write_json(tmp_path / "config.json", read_json(pair.folder / "config.json"))
    bare = load_model(tmp_path)
    ids = random_ids(1, 8)
    assert torch.equal(bare.hidden(Step(ids=ids)), pair.ours.hidden(Step(ids=ids)))
    save_model(bare, tmp_path / "again")
    assert load_model(tmp_path / "again").config == bare.config


@pytest.mark.parametrize("case", [case for case in ENCODERS if case.old], ids=str)
def test_older_files_say_the_same(case: Case) -> None:
    transformers = pytest.importorskip("transformers")
    keys = getattr(transformers, case.config)(**case.keys).to_dict()
    read = family_named(case.family).read_config
    assert read(age(keys, case.old)) == read(keys)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"architectures": ["BertForMultipleChoice"]}, "unknown class of model 'BertForMultipleChoice'"),
        ({"is_decoder": True}, "this value of is_decoder is not supported"),
        ({"tie_word_embeddings": False}, "this value of tie_word_embeddings"),
    ],
)
def test_what_the_family_cannot_say_is_refused(changed: dict[str, Any], told: str) -> None:
    transformers = pytest.importorskip("transformers")
    keys = transformers.BertConfig(**BERT[0].keys).to_dict()
    with pytest.raises(UserError, match=told):
        family_named("bert").read_config(keys | changed)
