"""The page of findings says what the checks can find."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fourfold.workflow.doctor import known_kinds
from fourfold.workflow.doctor.findings import known

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_is_current() -> None:
    specification = importlib.util.spec_from_file_location("doctor_page", DOCS / "generate" / "doctor.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (DOCS / "doctor.md").read_text("utf-8") == module.page(), "run: python docs/generate/doctor.py"


def test_every_kind_in_the_table_belongs_to_a_check() -> None:
    assert {kind.code for kind in known_kinds()} == set(known())
    for kind in known_kinds():
        for words in (kind.says, kind.fix):
            assert words.en.strip()
            assert words.zh.strip()
            assert words.en != words.zh
