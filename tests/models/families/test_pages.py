"""The pages of families and axes say what the tests prove."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"


def generator(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, DOCS / "generate" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["families", "axes"])
def test_the_page_is_current(name: str) -> None:
    current = (DOCS / f"{name}.md").read_text("utf-8")
    assert current == generator(name).page(), f"run: python docs/generate/{name}.py"
