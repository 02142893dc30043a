"""What a family says it can write, transformers computes: every axis changed on a shape of every decoder family."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from oracle import PADDING, TOLERANCE, Case, difference, random_ids
from oracle_decoders import DECODERS

from fourfold.errors import UserError
from fourfold.models import Step, TransformerConfig, TransformerLM
from fourfold.models.families import family_for, family_named
from fourfold.models.files import save_model
from tests.models.transformer.axes import AXES

CLOSE = {"biases", "residual", "head", "query and key norm", "norm place", "attention"}
"""Axes on which families lie close to each other, so that one might be taken for another."""
FIRST = {case.family: case for case in reversed(DECODERS)}


def neighbours(case: Case) -> Iterator[TransformerConfig]:
    """Configurations one change away from the case that some family says it can write."""
    transformers = pytest.importorskip("transformers")
    keys = getattr(transformers, case.config)(**case.keys).to_dict() | {"architectures": None}
    base = family_named(case.family).read_config(keys)
    for axis in AXES:
        try:
            config = axis.change(base) if axis.axis in CLOSE else base
        except UserError:
            continue
        if config != base and family_for(config) is not None:
            yield config


@pytest.mark.parametrize("case", FIRST.values(), ids=str)
def test_what_we_write_computes_the_same(case: Case, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ids = random_ids(2, 12)
    for number, config in enumerate(neighbours(case)):
        model = TransformerLM(config).eval()
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.25 * torch.randn(parameter.shape, generator=generator))
            save_model(model, tmp_path / str(number), {"pad_token_id": PADDING})
            theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
                tmp_path / str(number), output_loading_info=True
            )
            assert not any(report.values()), (config, report)
            found = model.logits(model.hidden(Step(ids=ids)))
            assert difference(found, theirs.eval()(input_ids=ids).logits) <= TOLERANCE, config
