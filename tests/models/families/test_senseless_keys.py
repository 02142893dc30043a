"""Whatever stands in `config.json`: a configuration comes out, or a sentence that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle import Case
from oracle_decoders import DECODERS
from oracle_encoders import ENCODERS, SEQUENCE_MODELS

from fourfold.errors import UserError
from fourfold.models.families import family_named
from fourfold.models.files.family_config import read_family_config

SENSELESS = (None, 0, -1, "x", 1.5, [1], {"a": 1}, 10**30, float("nan"), True)
FIRST = {case.family: case for case in reversed([*DECODERS, *ENCODERS, *SEQUENCE_MODELS])}


@pytest.mark.parametrize("case", FIRST.values(), ids=str)
def test_senseless_values_are_refused_with_a_sentence(case: Case) -> None:
    transformers = pytest.importorskip("transformers")
    keys = getattr(transformers, case.config)(**case.keys).to_dict()
    family, refused = family_named(case.family), 0
    for name in keys:
        for value in SENSELESS:
            try:
                read_family_config(family, {**keys, name: value}, Path("config.json"))
            except UserError:
                refused += 1
    assert refused > 50
