"""The page of public tasks is what the table says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_of_tasks_is_current() -> None:
    page = runpy.run_path(str(DOCS / "generate" / "tasks.py"))["page"]
    assert (DOCS / "tasks.md").read_text("utf-8") == page(), "run: python docs/generate/tasks.py"
