"""The page of architectures is what the cards say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parents[2] / "docs"


def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("architectures", DOCS / "generate" / "architectures.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_of_architectures_is_current() -> None:
    current = (DOCS / "architectures.md").read_text("utf-8")
    assert current == generator().page(), "run: python docs/generate/architectures.py"
