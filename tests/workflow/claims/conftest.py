"""A claim of seconds, on the text of the licence."""

from pathlib import Path

import pytest

from fourfold.workflow.claims import run_claim
from fourfold.workflow.claims.data import make_data
from fourfold.workflow.claims.spec import DataOptions

TINY = """
name = "tiny"
title = { en = "Deeper is better", zh = "越深越好" }
section = "4.2"
statement = { en = "More layers predict better.", zh = "层数越多，预测越好。" }
cites = ["zhao2023survey"]
limits = ["It is tiny."]
model = { family = "llama", hidden_size = 16, heads = 2, context = 64 }
[data]
sources = [SOURCE]
vocabulary_size = 300
[training]
batch_size = 2
context = 16
[[axis]]
name = "layers"
label = "layers"
values = { "1" = { model = { layers = 1 } }, "2" = { model = { layers = 2 } }, "3" = { model = { layers = 3 } } }
[[axis]]
name = "positions"
label = "positions"
values = { RoPE = { model = { positions = "rotary" } } }
derived = { "RoPE, YaRN" = { of = "RoPE", scaling = "yarn" } }
[[measurement]]
kind = "held_out"
tokens = 256
[[measurement]]
kind = "stability"
tokens = 256
[[measurement]]
kind = "lengths"
tokens = 256
[[measurement]]
kind = "continuation"
tokens = 256
[[expect]]
says = "the deepest beat the shallowest"
measure = "loss"
better = { layers = "last" }
than = { layers = "first" }
where = { positions = "RoPE" }
[[figure]]
name = "loss"
kind = "dots"
measure = "loss"
series = "layers"
title = "Loss by layers"
caption = "Each dot is a seed."
[[figure]]
name = "lengths"
kind = "lines"
measure = ["loss_1x", "loss_2x", "loss_4x"]
series = "positions"
title = "Loss by length"
caption = "Lines join the means."
[[figure]]
name = "curves"
kind = "curves"
measure = "loss_by_position"
series = "positions"
title = "Loss by position"
caption = "Means."
[quick]
minutes = 0.1
steps = 3
values = { layers = ["1", "2"] }
[full]
minutes = 0.2
steps = 4
"""


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory):
    """Forty short documents: pieces of the licence."""
    folder = tmp_path_factory.mktemp("claims") / "text"
    folder.mkdir()
    words = (Path(__file__).resolve().parents[3] / "LICENSE").read_text("utf-8").split()
    for number in range(40):
        (folder / f"{number}.txt").write_text(" ".join(words[number * 38 : number * 38 + 38]) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def claim_text(text_folder):
    return TINY.replace("SOURCE", f'"{text_folder.as_posix()}"')


@pytest.fixture(scope="session")
def finished(claim_text, tmp_path_factory):
    """The folder of the tiny claim, run once; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(claim_text, "utf-8")
    run_claim(folder / "tiny.toml", "quick", folder / "out", "again")
    return folder / "out"


@pytest.fixture
def claim_file(claim_text, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(claim_text, "utf-8")
    return path


@pytest.fixture(scope="session")
def data(text_folder, tmp_path_factory):
    options = DataOptions(sources=(str(text_folder),), vocabulary_size=300)
    return make_data(options, tmp_path_factory.mktemp("claims") / "data")
