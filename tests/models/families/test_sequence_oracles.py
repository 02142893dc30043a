"""Every shape of every encoder-decoder family against tiny random models of `transformers`, through files on disk."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import TOLERANCE, Case, Pair, age, difference, make_pair, random_ids, read_back, write_oracle
from oracle_encoders import BART, MT5, SEQUENCE_MODELS, T5
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.models import Step
from fourfold.models.families import family_named
from fourfold.models.files import load_model, save_model

pytest.importorskip("transformers")

SOURCE, LENGTH = 20, 14


@pytest.fixture(scope="module", params=SEQUENCE_MODELS, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Their model, and ours read from the folder they wrote."""
    return make_pair(request.param, tmp_path_factory.mktemp("oracle"))


def ids_of(rows: int = 2) -> tuple[Tensor, Tensor]:
    """Source and target."""
    return random_ids(rows, SOURCE), random_ids(rows, LENGTH, seed=7)


def logits(model: Any, source: Tensor, ids: Tensor, **more: Any) -> Tensor:
    with torch.no_grad():
        return model.logits(model.hidden(Step(ids=ids, source=source, **more)))


def their_logits(model: Any, source: Tensor, ids: Tensor, **more: Any) -> Tensor:
    with torch.no_grad():
        return model(input_ids=source, decoder_input_ids=ids, **more).logits


def test_logits_are_theirs(pair: Pair) -> None:
    source, ids = ids_of()
    assert difference(logits(pair.ours, source, ids), their_logits(pair.theirs, source, ids)) <= TOLERANCE


def test_layers_of_the_encoder_are_theirs(pair: Pair) -> None:
    source, _ = ids_of()
    with torch.no_grad():
        theirs = pair.theirs.get_encoder()(input_ids=source, output_hidden_states=True).hidden_states
        ours = pair.ours.encode(source)
    assert len(ours) == len(theirs)
    assert max(map(difference, ours, theirs)) <= TOLERANCE


def test_padding_of_the_source_is_not_seen(pair: Pair) -> None:
    source, ids = ids_of()
    lengths = torch.tensor([SOURCE, 11])
    mask = (torch.arange(SOURCE) < lengths[:, None]).long()
    theirs = their_logits(pair.theirs, source, ids, attention_mask=mask)
    assert difference(logits(pair.ours, source, ids, source_lengths=lengths), theirs) <= TOLERANCE
    alone = their_logits(pair.theirs, source[1:, :11], ids[1:])
    assert difference(logits(pair.ours, source, ids, source_lengths=lengths)[1:], alone) <= TOLERANCE


def test_packed_targets_equal_targets_alone(pair: Pair) -> None:
    source, ids = ids_of(1)
    documents = torch.tensor([[3] * 5 + [4] * (LENGTH - 5)])
    together = logits(pair.ours, source, ids, documents=documents)
    for start, end in ((0, 5), (5, LENGTH)):
        alone = their_logits(pair.theirs, source, ids[:, start:end])
        assert difference(together[:, start:end], alone) <= TOLERANCE


@pytest.mark.parametrize("cuts", [range(1, LENGTH), (3, 4, 9)], ids=["token by token", "in chunks"])
def test_cached_equals_whole(pair: Pair, cuts: Any) -> None:
    source, ids = ids_of()
    lengths = torch.tensor([SOURCE, 11])
    bounds = [0, *cuts, LENGTH]
    with torch.no_grad():
        state = pair.ours.start(source, lengths, LENGTH)
        parts = [
            pair.ours.logits(pair.ours.hidden(Step(ids=ids[:, a:b]), state)) for a, b in itertools.pairwise(bounds)
        ]
    mask = (torch.arange(SOURCE) < lengths[:, None]).long()
    theirs = their_logits(pair.theirs, source, ids, attention_mask=mask)
    assert difference(torch.cat(parts, 1), theirs) <= TOLERANCE


def test_what_we_save_they_read_and_bytes_are_kept(pair: Pair, tmp_path: Path) -> None:
    save_model(pair.ours, tmp_path)
    written, original = (folder / "model.safetensors" for folder in (tmp_path, pair.folder))
    assert written.read_bytes() == original.read_bytes()
    source, ids = ids_of()
    theirs = their_logits(read_back(pair.case, tmp_path), source, ids)
    assert difference(theirs, their_logits(pair.theirs, source, ids)) <= 1e-6
    assert load_model(tmp_path).config == pair.ours.config


@pytest.mark.parametrize("pair", [T5[0], T5[1], BART[0]], ids=str, indirect=True)
def test_gradients_are_theirs(pair: Pair, tmp_path: Path) -> None:
    source, ids = ids_of()
    labels = random_ids(2, LENGTH, seed=8)
    theirs, ours = copy.deepcopy(pair.theirs), copy.deepcopy(pair.ours)
    theirs(input_ids=source, decoder_input_ids=ids, labels=labels).loss.backward()
    F.cross_entropy(ours.logits(ours.hidden(Step(ids=ids, source=source))).flatten(0, 1), labels.flatten()).backward()
    for parameter in ours.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad  # saved as weights, gradients are named and laid out as theirs
    save_model(ours, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    found.pop("final_logits_bias", None)  # not trained there
    assert found.keys() == wanted.keys()
    assert {name: error for name in wanted if (error := difference(found[name], wanted[name])) > TOLERANCE} == {}


@pytest.mark.parametrize("case", [T5[1], MT5[0]], ids=str)
@pytest.mark.parametrize(
    "keys", [{}, {"tie_word_embeddings": False, "scale_decoder_outputs": None}], ids=["new", "old"]
)
def test_a_head_of_its_own_is_told_by_the_file(case: Case, keys: dict[str, Any], tmp_path: Path) -> None:
    """As in the published T5 1.1, Flan-T5 and mT5."""
    write_oracle(case, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(tensors["shared.weight"].shape, generator=torch.Generator().manual_seed(3))
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    write_json(tmp_path / "config.json", age(read_json(tmp_path / "config.json"), keys))
    theirs, ours = read_back(case, tmp_path), load_model(tmp_path)
    source, ids = ids_of()
    assert difference(logits(ours, source, ids), their_logits(theirs, source, ids)) <= TOLERANCE
    save_model(ours, tmp_path / "again")
    saved, original = (folder / "model.safetensors" for folder in (tmp_path / "again", tmp_path))
    assert {name: t.sum() for name, t in load_file(saved).items()} == {
        n: t.sum() for n, t in load_file(original).items()
    }
    # The class that transformers reads back may be T5's: one architecture, whatever the name.
    back = their_logits(read_back(T5[1], tmp_path / "again"), source, ids)
    assert difference(back, their_logits(theirs, source, ids)) <= 1e-6


@pytest.mark.parametrize("case", [BART[0], T5[0]], ids=str)
def test_files_of_the_model_without_a_head_are_read(case: Case, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    write_oracle(case, tmp_path / "whole")
    bare = transformers.AutoModel.from_pretrained(tmp_path / "whole")
    bare.save_pretrained(tmp_path / "bare")
    source, ids = ids_of()
    ours, whole = load_model(tmp_path / "bare"), load_model(tmp_path / "whole")
    with torch.no_grad():
        pair = [model.hidden(Step(ids=ids, source=source)) for model in (ours, whole)]
    assert torch.equal(*pair)


@pytest.mark.parametrize("case", [T5[0]], ids=str)
def test_copies_of_the_embedding_are_read(case: Case, tmp_path: Path) -> None:
    write_oracle(case, tmp_path)
    ours = load_model(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors["shared.weight"].clone()
    del tensors["shared.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    again = load_model(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("case", [case for case in SEQUENCE_MODELS if case.old], ids=str)
def test_older_files_say_the_same(case: Case) -> None:
    transformers = pytest.importorskip("transformers")
    keys = getattr(transformers, case.config)(**case.keys).to_dict()
    read = family_named(case.family).read_config
    assert read(age(keys, case.old)) == read(keys)


def test_half_a_model_is_refused() -> None:
    transformers = pytest.importorskip("transformers")
    keys = transformers.T5Config(**T5[0].keys).to_dict() | {"architectures": ["T5EncoderModel"]}
    with pytest.raises(UserError, match="unknown class of model 'T5EncoderModel'"):
        family_named("t5").read_config(keys)
