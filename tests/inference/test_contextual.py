"""ELMo through `fourfold.load`: the states of the module, text by text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fourfold
from fourfold.cli.options import load_model
from fourfold.errors import UserError
from fourfold.inference import ContextEncoder
from fourfold.models.elmo import ElmoConfig, ElmoLM
from fourfold.tokenizers import train_byte_bpe

TEXTS = ["the king", "", "the king and the queen of the court"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_byte_bpe(TEXTS, 300)
    module = ElmoLM(ElmoConfig(vocabulary_size=tokenizer.vocabulary_size, hidden_size=8, layers=2))
    module.initialise(torch.Generator().manual_seed(1))
    folder = tmp_path_factory.mktemp("elmo") / "model"
    ContextEncoder(module.eval(), tokenizer).save(folder)
    return folder


def test_a_folder_comes_back_and_reads_each_text_as_if_alone(folder: Path) -> None:
    elmo = fourfold.load(folder)
    assert isinstance(elmo, ContextEncoder)
    for text, found in zip(TEXTS, elmo.states(TEXTS), strict=True):
        ids = torch.tensor([elmo.tokenizer.encode_ordinary(text)], dtype=torch.int64)
        assert found.shape == (3, ids.shape[1], 16)
        if ids.shape[1]:
            alone = elmo.module.encode(ids, torch.ones_like(ids))
            torch.testing.assert_close(found, torch.cat(alone))


def test_a_text_is_the_mean_of_its_last_layer(folder: Path) -> None:
    elmo = fourfold.load(folder)
    assert isinstance(elmo, ContextEncoder)
    found = elmo.embed(TEXTS)
    torch.testing.assert_close(found[2], elmo.states(TEXTS)[2][-1].mean(0))
    assert not found[1].any()
    assert elmo.embed([]).shape == (0, 16)


def test_commands_say_where_it_is_read(folder: Path) -> None:
    with pytest.raises(UserError, match="no command reads it"):
        load_model(str(folder))
