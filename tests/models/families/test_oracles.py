"""Every shape of every decoder family against tiny random models of `transformers`, through files on disk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import PADDING, TOLERANCE, Case, Pair, age, difference, make_pair, random_ids, read_back, write_oracle
from oracle_decoders import DECODERS, GPT2, GPT_NEOX, LLAMA, OTHER_ENDS
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from fourfold.models import Step
from fourfold.models.families import family_named
from fourfold.models.files import load_model, save_model
from fourfold.models.interop import normal

pytest.importorskip("transformers")

LENGTH = 24
WEIGHTS = "model.safetensors"
OLD_NEOX = ("gpt_neox.layers.0.attention.bias", "gpt_neox.layers.2.attention.rotary_emb.inv_freq")


@pytest.fixture(scope="module", params=DECODERS, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Their model, and ours read from the folder they wrote."""
    return make_pair(request.param, tmp_path_factory.mktemp("oracle"))


def logits(model: Any, **step: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.hidden(Step(**step)))


def their_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits


def test_logits_are_theirs(pair: Pair) -> None:
    ids = random_ids(2, LENGTH)
    assert difference(logits(pair.ours, ids=ids), their_logits(pair.theirs, ids)) <= TOLERANCE


def test_what_we_save_they_read_and_bytes_are_kept(pair: Pair, tmp_path: Path) -> None:
    save_model(pair.ours, tmp_path)
    written, original = (folder / WEIGHTS for folder in (tmp_path, pair.folder))
    assert written.read_bytes() == original.read_bytes()
    ids = random_ids(2, LENGTH)
    assert difference(their_logits(read_back(pair.case, tmp_path), ids), their_logits(pair.theirs, ids)) <= 1e-6
    assert load_model(tmp_path).config == pair.ours.config


@pytest.mark.parametrize("cuts", [range(1, LENGTH), (5, 6, 17)], ids=["token by token", "in chunks"])
def test_cached_equals_whole(pair: Pair, cuts: Any) -> None:
    if not pair.case.cached:
        pytest.skip("the angles change with the length")
    ids = random_ids(2, LENGTH)
    state = pair.ours.new_state(2, LENGTH)
    bounds = [0, *cuts, LENGTH]
    with torch.no_grad():
        parts = [pair.ours.logits(pair.ours.hidden(Step(ids=ids[:, a:b]), state)) for a, b in pairwise(bounds)]
    assert difference(torch.cat(parts, 1), their_logits(pair.theirs, ids)) <= TOLERANCE


def test_left_padded_and_packed_rows_equal_rows_alone(pair: Pair) -> None:
    ids = random_ids(2, LENGTH)
    documents = torch.tensor([[0] * 9 + [1] * (LENGTH - 9), [4] * 15 + [6] * (LENGTH - 15)])  # row 0: 9 of padding
    together = logits(pair.ours, ids=ids, documents=documents)
    for row, start, end in ((0, 9, LENGTH), (1, 0, 15), (1, 15, LENGTH)):
        alone = their_logits(pair.theirs, ids[row : row + 1, start:end])
        assert difference(together[row : row + 1, start:end], alone) <= TOLERANCE


@pytest.mark.parametrize("case", [*GPT2, *LLAMA[:3]], ids=str)
def test_gradients_are_theirs(case: Case, tmp_path: Path) -> None:
    ids, theirs = random_ids(2, LENGTH), write_oracle(case, tmp_path / "theirs")
    theirs(input_ids=ids, labels=ids).loss.backward()
    ours = load_model(tmp_path / "theirs")
    F.cross_entropy(ours.logits(ours.hidden(Step(ids=ids)))[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for parameter in ours.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad  # saved as weights, gradients are named and laid out as theirs
    save_model(ours, tmp_path / "ours")
    found = load_file(tmp_path / "ours" / WEIGHTS)
    wanted = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert found.keys() == wanted.keys()
    assert {name: error for name in wanted if (error := difference(found[name], wanted[name])) > TOLERANCE} == {}


@pytest.mark.parametrize("case", [case for case in DECODERS if case.old], ids=str)
def test_older_files_say_the_same(case: Case) -> None:
    transformers = pytest.importorskip("transformers")
    keys = getattr(transformers, case.config)(**case.keys).to_dict()
    read = family_named(case.family).read_config
    assert normal(read(age(keys, case.old))) == normal(read(keys))


def test_older_weights_are_read(tmp_path: Path) -> None:
    """The first GPT-2 files name no head and hold the causal mask of every layer; GPT-NeoX's hold rotary tables."""
    for case, extra in ((GPT2[0], ("h.0.attn.bias", "h.1.attn.masked_bias")), (GPT_NEOX[0], OLD_NEOX)):
        folder = tmp_path / case.family
        theirs, ids = write_oracle(case, folder), random_ids(2, LENGTH)
        weights = {name.removeprefix("transformer."): t for name, t in load_file(folder / WEIGHTS).items()}
        save_file(weights | {name: torch.ones(1, 1, 4, 4) for name in extra}, folder / WEIGHTS)
        assert difference(logits(load_model(folder), ids=ids), their_logits(theirs, ids)) <= TOLERANCE


@pytest.mark.parametrize("case", OTHER_ENDS, ids=str)
def test_files_without_a_head_and_classifiers(case: Case, tmp_path: Path) -> None:
    theirs, ids = write_oracle(case, tmp_path / "theirs"), random_ids(2, LENGTH)
    ours = load_model(tmp_path / "theirs")
    save_model(ours, tmp_path / "ours", {"pad_token_id": PADDING})
    written, original = (tmp_path / name / WEIGHTS for name in ("ours", "theirs"))
    assert written.read_bytes() == original.read_bytes()
    with torch.no_grad():
        wanted, again = theirs(input_ids=ids), read_back(case, tmp_path / "ours")(input_ids=ids)
        hidden = ours.hidden(Step(ids=ids))
        found = hidden if case.auto == "AutoModel" else ours.classify(hidden)
    assert difference(found, wanted[0]) <= TOLERANCE
    assert difference(again[0], wanted[0]) <= 1e-6


def test_the_tables_name_each_shape_once() -> None:
    names = [str(case) for case in DECODERS]
    assert len(set(names)) == len(names)
