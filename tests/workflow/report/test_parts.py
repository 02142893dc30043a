import json
import string
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from fourfold.workflow.report.curves import _log_time, stored_run
from fourfold.workflow.report.evaluations import first_samples, prompting, tuning_blocks
from fourfold.workflow.report.formatting import duration, points, short_count, size
from fourfold.workflow.report.language import Text
from fourfold.workflow.report.loading import load_run
from fourfold.workflow.report.noise import noise_scales
from fourfold.workflow.report.plotting import canvas, spread, themed


def test_both_languages_have_every_string_and_the_same_placeholders() -> None:
    strings = json.loads(resources.files("fourfold.workflow.report").joinpath("strings.json").read_text("utf-8"))
    for key, entry in strings.items():
        assert set(entry) == {"en", "zh"}, key
        names = [{field for _, field, _, _ in string.Formatter().parse(entry[language]) if field} for language in entry]
        assert names[0] == names[1], key


def test_a_text_shows_both_languages_escaped() -> None:
    assert Text("a<b", "甲<乙").__html__() == '<span lang="en">a&lt;b</span><span lang="zh">甲&lt;乙</span>'
    assert Text("<i>", "<i>").__html__() == "&lt;i&gt;"


def test_numbers_as_printed() -> None:
    assert [short_count(value) for value in (950, 6_150_000, 2e12)] == ["950", "6.15M", "2T"]
    assert size(24_650_000) == "24.6 MB"
    assert [duration(value).en for value in (0.4, 18.3, 60, 164, 7200)] == ["0.4 s", "18 s", "1 min", "2.7 min", "2 h"]
    assert [points(value) for value in (0.125, -0.5)] == ["+12", "−50"]


@given(some.lists(some.floats(0, 10), max_size=6))
def test_spread_labels_keep_their_order_and_distance(positions: list[float]) -> None:
    placed = spread(positions, 1.0, 0.0, 10.0)
    order = sorted(range(len(positions)), key=positions.__getitem__)
    heights = [placed[at] for at in order]
    assert all(after - before >= 1.0 - 1e-9 for before, after in pairwise(heights))
    assert all(-1e-9 <= height <= 10.0 + 1e-9 for height in heights)


def test_themed_svg_takes_the_page_colours_and_prefixed_names() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'
        '<g id="a" clip-path="url(#b)"><use xlink:href="#c" style="stroke: #0068a8"/>'
        "<text style=\"font-size: 10px; font-family: 'DejaVu Sans', sans-serif; text-anchor: end\">&lt;x&gt;</text>"
        "</g></svg>"
    )
    page = themed(svg, "p", 'label "quoted"')
    assert 'id="p-a"' in page
    assert "url(#p-b)" in page
    assert 'href="#p-c"' in page
    assert "var(--pre-trained, #0068a8)" in page
    assert "DejaVu" not in page
    assert "text-anchor: end" in page
    assert "&lt;x&gt;" in page
    assert 'aria-label="label &quot;quoted&quot;"' in page


def test_the_noise_scale_stands_beside_what_a_step_reads(full_run: Path) -> None:
    figure = noise_scales(load_run(full_run))
    assert figure.sources == ("pretrain.decoder/curve.jsonl",)
    assert figure.rows[0] == ("pretrain.decoder", 1, None, 2048)
    assert figure.rows[-1][1:] == (600, 40.0 * 600**0.9, 2048)
    (panel,) = figure.panels
    assert "12.7k" in panel.description.en
    assert "2.05k" in panel.description.en
    for language in ("en", "zh"):
        assert panel.draw(language).count("<text") >= 5
        assert ">10k<" in panel.draw(language)
    assert noise_scales(replace(load_run(full_run), stages=())).rows == ()


def test_a_task_tried_by_two_stages_stays_apart(make_run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    results = json.loads((folder / "evaluate.tuning/results.json").read_text("utf-8"))
    rows = [row for row in results["rows"] if row["task"] == "arithmetic" and row["solver"] == "calculator"]
    later = folder / "evaluate.later"
    later.mkdir()
    alone = {"rows": [row | {"n": 24} for row in rows], "comparisons": []}
    (later / "results.json").write_text(json.dumps(alone), "utf-8")
    run = load_run(folder)
    arithmetic = [block for block in tuning_blocks(run) if block.task == "arithmetic"]
    assert [(block.stage, block.rows[0].n) for block in arithmetic] == [("evaluate.later", 24)]
    assert [(matrix.source, len(matrix.rows)) for matrix in prompting(run)] == [("evaluate.tuning/results.json", 4)]


def test_samples_are_the_first_right_and_the_first_wrong(full_run: Path) -> None:
    run = load_run(full_run)
    found = {(block.task, sample.model, sample.right) for block, sample in first_samples(run)}
    assert ("general", "tune.chat", True) in found
    assert ("general", "tune.chat", False) in found
    assert ("arithmetic", "tune.chat", False) not in found
    for block, sample in first_samples(run):
        same = (sample.model, sample.task, sample.solver, sample.right)
        first = next(s for s in run.samples if (s.model, s.task, s.solver, s.right) == same)
        assert sample is first, block


def test_learning_overtakes_counting_in_the_stored_run(full_run: Path) -> None:
    stored = {(series.label, series.group): series for series in stored_run(load_run(full_run))}
    for group in ("prose", "code"):
        counting = stored["5-gram", group].values[-1]
        for learner in ("LSTM", "decoder"):
            assert stored[learner, group].values[0] > counting > stored[learner, group].values[-1]
            assert len(stored[learner, group].seconds) == len(stored[learner, group].values)


def test_a_time_axis_of_moments_has_ticks_where_they_stand():
    with canvas() as (_, axes):
        _log_time(axes, [0.0321, 0.0361], "en")
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0.032 s", "0.036 s"]
        assert list(axes.get_xticks()) == [0.032, 0.036]
