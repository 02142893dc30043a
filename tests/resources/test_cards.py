"""Cards: every one is complete and says where its figures are from."""

import tomllib
from importlib.resources import files

import pytest

from fourfold.errors import UserError
from fourfold.resources import data_card, model_card


def names(file):
    return list(tomllib.loads((files("fourfold.resources") / file).read_text("utf-8")))


@pytest.mark.parametrize("name", names("models.toml"))
def test_model_figures_have_sources(name):
    card = model_card(name)
    assert {"parameters", "training_tokens", "released", "licence"} <= card.sources.keys()
    assert card.file.bytes > 0


@pytest.mark.parametrize("name", names("data.toml"))
def test_data_licences_have_sources(name):
    assert "licence" in data_card(name).sources


def test_smollm2_is_what_was_published():
    card = model_card("smollm2")
    assert card.parameters == 49152 * 576 + 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576 + 2 * 576) + 576
    assert card.training_tokens == 2e12


def test_unknown_cards_name_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'smollm2'"):
        model_card("smollm")
    with pytest.raises(UserError, match="Did you mean 'stdlib'"):
        data_card("stdlb")
