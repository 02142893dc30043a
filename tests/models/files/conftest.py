import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def peer():
    """llama.cpp itself: the module of the parity benchmark."""
    pytest.importorskip("xllamacpp")
    source = Path(__file__).parents[3] / "benchmarks" / "gguf_parity.py"
    spec = importlib.util.spec_from_file_location("gguf_parity", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
