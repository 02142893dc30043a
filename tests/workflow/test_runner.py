"""Runs: what is skipped, redone, continued and recorded."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fourfold.errors import Interrupted, UserError
from fourfold.workflow import parse_recipe, run_recipe
from fourfold.workflow.kinds import Options, StageKind, Use
from fourfold.workflow.stages import KINDS

RECIPE = """
name = "toy"
[toy.first]
text = "a"
[toy.second]
text = "b"
after = "toy.first"
[toy.third]
text = "c"
"""


class ToyOptions(Options):
    text: str
    """What the stage writes."""
    after: str | None = None
    """The stage before it."""
    file: str | None = None
    """An outside file it reads."""


def toy_uses(options):
    uses = [Use("after", options.after, ("toy",))] if options.after else []
    return uses + ([Use("file", options.file, (), outside=True)] if options.file else [])


@pytest.fixture
def ran(monkeypatch):
    """Names of the stages that did their work, in order; `fail` and `stop` act in the stage of that text."""
    log = []

    def run(context, options):
        log.append(context.name)
        if options.text == "fail":
            raise UserError("this stage cannot work")
        if options.text == "stop":
            (context.folder / "half").write_text("half done")
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        before = context.output_of(options.after, "text").read_text() if options.after else ""
        (context.folder / "text").write_text(before + options.text)

    kind = StageKind(name="toy", options=ToyOptions, uses=toy_uses, run=run, code=("errors",))
    monkeypatch.setitem(KINDS, "toy", kind)
    return log


def text_of(folder: Path, stage: str) -> str:
    return (folder / "toy" / stage / "text").read_text()


def test_a_run_leaves_recipe_manifest_metrics_and_done_files(ran, tmp_path):
    recipe = parse_recipe(RECIPE)
    result = run_recipe(recipe, tmp_path)
    assert result.folder == tmp_path / "toy"
    assert ran == ["toy.first", "toy.second", "toy.third"]
    assert text_of(tmp_path, "toy.second") == "ab"
    assert (result.folder / "recipe.toml").read_text() == recipe.text
    manifest = json.loads((result.folder / "manifest.json").read_text())
    assert manifest["order"] == ran
    assert manifest["sittings"][-1]["outcome"] == "finished"
    assert manifest["machine"]["packages"]["torch"]
    done = json.loads((result.folder / "toy.first" / "done.json").read_text())
    assert set(done) == {"key", "seconds", "peak_memory_bytes", "outputs"}
    assert done["peak_memory_bytes"] > 10**6
    metrics = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in metrics] == ran


def test_finished_stages_are_skipped(ran, tmp_path):
    run_recipe(parse_recipe(RECIPE), tmp_path)
    ran.clear()
    result = run_recipe(parse_recipe(RECIPE), tmp_path)
    assert ran == []
    assert all(stage.skipped for stage in result.stages)


def test_a_change_redoes_the_stage_and_what_follows_from_it(ran, tmp_path):
    run_recipe(parse_recipe(RECIPE), tmp_path)
    ran.clear()
    run_recipe(parse_recipe(RECIPE, ["toy.first.text=z"]), tmp_path)
    assert ran == ["toy.first", "toy.second"]
    assert text_of(tmp_path, "toy.second") == "zb"


def test_changed_outside_data_redoes_the_stage(ran, tmp_path):
    data = tmp_path / "data.txt"
    data.write_text("one")
    recipe = parse_recipe(RECIPE, [f"toy.third.file={data}"])
    run_recipe(recipe, tmp_path)
    ran.clear()
    data.touch()
    run_recipe(recipe, tmp_path)
    assert ran == []
    data.write_text("two")
    run_recipe(recipe, tmp_path)
    assert ran == ["toy.third"]


def test_changed_code_redoes_the_stage(ran, tmp_path, monkeypatch):
    run_recipe(parse_recipe(RECIPE), tmp_path)
    ran.clear()
    monkeypatch.setattr("fourfold.workflow.runner.code_fingerprint", lambda packages: "another version")
    run_recipe(parse_recipe(RECIPE), tmp_path)
    assert ran == ["toy.first", "toy.second", "toy.third"]


def test_a_failing_stage_keeps_what_is_finished(ran, tmp_path):
    with pytest.raises(UserError, match="cannot work"):
        run_recipe(parse_recipe(RECIPE, ["toy.second.text=fail"]), tmp_path)
    assert (tmp_path / "toy" / "toy.first" / "done.json").is_file()
    manifest = json.loads((tmp_path / "toy" / "manifest.json").read_text())
    assert "cannot work" in manifest["sittings"][-1]["outcome"]
    ran.clear()
    run_recipe(parse_recipe(RECIPE), tmp_path)
    assert ran == ["toy.second", "toy.third"]


def test_what_a_killed_process_left_half_written_goes(ran, tmp_path):
    left = tmp_path / "toy" / "toy.third" / ".text.1234.part"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    (tmp_path / "toy" / ".figures.1234.part").mkdir()
    run_recipe(parse_recipe(RECIPE), tmp_path)
    assert not list((tmp_path / "toy").glob("**/.*.part"))


def test_checkpoints_go_when_the_stage_is_done_also_when_a_crash_came_between(ran, tmp_path):
    run_recipe(parse_recipe(RECIPE), tmp_path)
    checkpoint = tmp_path / "toy" / "toy.first" / "checkpoints" / "step-00000001"
    checkpoint.mkdir(parents=True)
    run_recipe(parse_recipe(RECIPE), tmp_path)
    assert not checkpoint.parent.exists()


def test_only_runs_one_stage_and_what_it_needs(ran, tmp_path):
    run_recipe(parse_recipe(RECIPE), tmp_path, only="toy.second")
    assert ran == ["toy.first", "toy.second"]


def test_ctrl_c_keeps_the_work_and_says_how_to_resume(ran, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        run_recipe(parse_recipe(RECIPE, ["toy.second.text=stop"]), tmp_path)
    assert caught.value.exit_code == 130
    assert f"fourfold run {tmp_path / 'toy' / 'recipe.toml'} --runs {tmp_path}" in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "toy" / "toy.second" / "half").read_text() == "half done"
    assert json.loads((tmp_path / "toy" / "manifest.json").read_text())["sittings"][-1]["outcome"] == "interrupted"


def test_time_adds_up_over_sittings(ran, tmp_path):
    recipe = parse_recipe(RECIPE, ["toy.second.text=stop"])
    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path)
    work = tmp_path / "toy" / "toy.second" / "work.json"
    record = json.loads(work.read_text())
    work.write_text(json.dumps({**record, "seconds": 1000.0, "peak_memory_bytes": 2**40}))
    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path)
    again = json.loads(work.read_text())
    assert 1000 < again["seconds"] < 1010
    assert again["peak_memory_bytes"] == 2**40


def test_a_folder_in_use_is_refused(ran, tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "toy")], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(UserError, match="another process is working"):
            run_recipe(parse_recipe(RECIPE), tmp_path)
    finally:
        holder.communicate("")


_HOLD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from fourfold.files import lock_folder
    with lock_folder(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
    """
)


def test_models_are_loaded_once_and_let_go_after_their_last_use(tmp_path, monkeypatch):
    loaded, seen = [], []

    class ModelOptions(Options):
        models: tuple[str, ...]
        """What it uses."""

    def run(context, options):
        for reference in options.models:
            context.models.get(reference)
        seen.append(sorted(context.models._loaded))

    kind = StageKind(
        name="look",
        options=ModelOptions,
        uses=lambda options: [Use("models", model, (), outside=True) for model in options.models],
        run=run,
        code=("errors",),
    )
    monkeypatch.setitem(KINDS, "look", kind)
    text = 'name = "m"\n[look.a]\nmodels = ["x", "y"]\n[look.b]\nmodels = ["x"]\n[look.c]\nmodels = ["z"]\n'
    run_recipe(parse_recipe(text), tmp_path, load=lambda reference: loaded.append(reference) or SimpleNamespace())
    assert loaded == ["x", "y", "z"]
    assert seen == [["x", "y"], ["x"], ["z"]]
