"""The page of planning is what the planner says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parents[2] / "docs"


def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("planning_page", DOCS / "generate" / "planning.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_of_planning_is_current() -> None:
    current = (DOCS / "planning.md").read_text("utf-8")
    assert current == generator().page(), "run: python docs/generate/planning.py"
