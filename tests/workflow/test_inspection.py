"""Pictures of inspection: all three files are there and the numbers are those of the reading."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import build_model
from fourfold.models.inspection import Reading, read, visible
from fourfold.workflow.inspection import Picture, draw_masks, draw_reading, require_plots, save, shown

TOKENS = ["The", " cat", "\n", " sat"]


@pytest.fixture(scope="module")
def reading() -> Reading:
    model = build_model({"family": "llama", "layers": 3, "hidden_size": 16, "heads": 4, "context": 16}, 30)
    return read(model, [1, 2, 3, 4])


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def saved(picture: Picture, folder: Path) -> Path:
    """The CSV, after checking that picture and drawing are what their endings say."""
    png, svg, numbers = save(picture, folder)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text("utf-8")[:300]
    return numbers


def test_masks_are_those_of_the_code(tmp_path: Path) -> None:
    lines = lines_of(saved(draw_masks(), tmp_path))
    assert {line["mask"] for line in lines} == {
        "causal decoder", "prefix decoder", "encoder-decoder", "encoder", "sliding window of 4", "packed documents",
    }  # fmt: skip
    sees = [int(line["sees"]) for line in lines if line["mask"] == "sliding window of 4"]
    assert torch.equal(torch.tensor(sees).view(12, 12).bool(), visible("causal", 12, window=4))


def test_a_reading_is_drawn_with_its_numbers(reading: Reading, tmp_path: Path) -> None:
    assert reading.lens is not None
    says = [[f"t{number}" for number in row] for row in reading.lens.ids.tolist()]
    pictures = {picture.name: picture for picture in draw_reading(reading, TOKENS, says)}
    assert list(pictures) == ["attention-heads", "attention", "logit-lens"]
    heads = lines_of(saved(pictures["attention-heads"], tmp_path))
    assert len(heads) == 3 * 4 * (4 * 5 // 2)
    first = next(line for line in heads if (line["layer"], line["head"], line["position"]) == ("2", "3", "4"))
    assert float(first["weight"]) == pytest.approx(float(reading.attention[1, 2, 3, 0]), rel=1e-4)
    assert (first["token"], first["looks_at_token"]) == (" sat", "The")
    means = lines_of(saved(pictures["attention"], tmp_path))
    assert sum(float(line["mean_weight"]) for line in means) == pytest.approx(3 * 4, rel=1e-4)
    lens = lines_of(saved(pictures["logit-lens"], tmp_path))
    assert len(lens) == 4 * 4
    assert lens[0]["rank_of_next_token"] == str(int(reading.lens.ranks[0, 0]) + 1)
    assert lens[3]["rank_of_next_token"] == ""


def test_without_a_lens_only_attention_is_drawn(reading: Reading) -> None:
    bare = Reading(ids=reading.ids, attention=reading.attention, lens=None)
    assert [picture.name for picture in draw_reading(bare, TOKENS, None)] == ["attention-heads", "attention"]


def test_tokens_are_shown_whole_or_cut() -> None:
    assert [shown(token) for token in (" a b", "\n\t", "extraordinarily")] == ["␣a␣b", "⏎⇥", "extraordi…"]


def test_missing_matplotlib_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.workflow.inspection.can_plot", lambda: False)
    with pytest.raises(UserError, match="matplotlib"):
        require_plots()
