"""No false alarm on any family: every shape of the families' oracle, written by transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle import Case, age_folder, write_oracle
from oracle_decoders import DECODERS, OTHER_ENDS
from oracle_encoders import ENCODERS, SEQUENCE_MODELS

from fourfold.workflow.doctor import examine
from fourfold.workflow.doctor.tensors import find_embedding

CASES = [*DECODERS, *OTHER_ENDS, *ENCODERS, *SEQUENCE_MODELS]
NO_TOKENIZER = {"tokenizer-missing"}
"""The oracle writes none."""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_shape_of_transformers_is_sound(case: Case, tmp_path: Path) -> None:
    write_oracle(case, tmp_path)
    report = examine(str(tmp_path))
    alarms = {f.kind.code: (f.where, f.sentence.en) for f in report.findings if f.kind.severity != "note"}
    assert alarms.keys() == NO_TOKENIZER, alarms
    if case.old:
        age_folder(tmp_path, case.old)
        again = {f.kind.code: f.sentence.en for f in examine(str(tmp_path)).findings if f.kind.severity != "note"}
        assert again.keys() == NO_TOKENIZER, again


@pytest.mark.parametrize("family", sorted({case.family for case in CASES}))
def test_the_embedding_is_found_by_its_name(family: str, tmp_path: Path) -> None:
    from fourfold.workflow.doctor.opening import open_model

    case = next(case for case in CASES if case.family == family)
    write_oracle(case, tmp_path)
    model = open_model(str(tmp_path))
    assert find_embedding(model.entries) is not None, sorted(model.entries)[:20]
