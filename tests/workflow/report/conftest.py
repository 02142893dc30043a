import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

_source = Path(__file__).with_name("synthetic_run.py")
_spec = importlib.util.spec_from_file_location("synthetic_run", _source)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """Writes a synthetic run folder; see synthetic_run.py."""
    return _module.make_run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished synthetic run with its report written."""
    from fourfold.workflow.report import write_report

    folder = _module.make_run(tmp_path_factory.mktemp("runs") / "synthetic")
    write_report(folder)
    return folder
