"""The packaged and the repository's recipes, the quickstart's variants, and recipes for a user's folder."""

from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.workflow import describe_folder, init_recipe, parse_recipe, quickstart_recipe
from fourfold.workflow.quickstart import RECIPES, VARIANTS, set_values

REPOSITORY = Path(__file__).parents[2] / "recipes"
ALL = sorted([*REPOSITORY.glob("*.toml"), *RECIPES.glob("*.toml")])


def test_the_recipes_are_there():
    assert {path.name for path in ALL} >= {"tiny.toml", "resume.toml", "adapt.toml", "crossing.toml", "quickstart.toml"}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_recipe_parses_and_plans_its_order(path: Path):
    recipe = parse_recipe(path)
    placed = set()
    for stage in recipe.stages:
        assert placed.issuperset(stage.needs)
        placed.add(stage.full_name)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("minutes", VARIANTS)
def test_quickstart_variants_differ_in_sizes_only(minutes: int, language: str):
    text = quickstart_recipe(minutes, language=language)
    recipe, packaged = parse_recipe(text), parse_recipe(RECIPES / "quickstart.toml")
    assert recipe.name == f"quickstart-{minutes}"
    assert [(s.full_name, s.needs) for s in recipe.stages] == [(s.full_name, s.needs) for s in packaged.stages]
    assert text.count("#") > 20


def test_both_languages_make_the_same_run():
    english, chinese = (parse_recipe(quickstart_recipe(12, language=language)) for language in ("en", "zh"))
    assert english.stages == chinese.stages
    assert english.title != chinese.title


def test_quickstart_has_every_kind_of_stage_and_the_first_picture_first():
    recipe = parse_recipe(quickstart_recipe(5))
    assert {stage.kind for stage in recipe.stages} == {
        "corpus", "tokenizer", "pretrain", "score", "generate", "evaluate", "data", "tune",
    }  # fmt: skip
    assert [stage.full_name for stage in recipe.stages][:3] == ["corpus.text", "tokenizer.bpe", "pretrain.fivegram"]


def test_quickstart_on_a_folder_reads_it_wherever_it_is_run_from(tmp_path: Path, monkeypatch):
    (tmp_path / "my texts").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe(quickstart_recipe(5, data="my texts"))
    assert recipe.name == "quickstart-5-my-texts"
    assert recipe.stage("corpus.text").options.sources == (str(tmp_path / "my texts"),)
    assert recipe.stage("evaluate.reading").options.tasks == ("continuation",)


def test_quickstart_refuses_what_it_does_not_have(tmp_path: Path):
    with pytest.raises(UserError, match="5, 12 or 60"):
        quickstart_recipe(7)
    with pytest.raises(UserError, match="no such folder"):
        quickstart_recipe(5, data=tmp_path / "none")


def test_set_values_keeps_comments_and_refuses_what_is_not_there():
    text = "[a.b]\nx = 1  # why\ny = 2\n[a.c]\nx = 3\n"
    assert set_values(text, {"a.b x": "7"}) == "[a.b]\nx = 7  # why\ny = 2\n[a.c]\nx = 3\n"
    with pytest.raises(ValueError, match=r"a\.c y"):
        set_values(text, {"a.c y": "1"})


def test_a_folder_is_described_and_gets_a_recipe_that_fits(tmp_path: Path):
    (tmp_path / "a.txt").write_text("The quick brown fox. " * 400, "utf-8")
    (tmp_path / "b.md").write_text("Notes on foxes.", "utf-8")
    (tmp_path / "c.pdf").write_bytes(b"%PDF")
    (tmp_path / ".hidden").write_text("x")
    summary = describe_folder(tmp_path)
    assert summary.files == {".txt": 1, ".md": 1, ".pdf": 1}
    assert summary.language == "en"
    text = init_recipe(tmp_path, cores=2, memory=16 * 2**30)
    assert "# files: 1 .txt, 1 .md, 1 .pdf" in text
    assert "2 cores, 16.0 GB" in text
    recipe = parse_recipe(text)
    assert recipe.name.startswith("quickstart-5-")
    assert recipe.stage("tokenizer.bpe").options.vocabulary_size == 2048


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_chinese_folders_get_chinese_comments(tmp_path: Path, encoding: str):
    (tmp_path / "a.txt").write_text("狐狸跳过了懒狗。\n" * 600, encoding)
    assert describe_folder(tmp_path).language == "zh"
    assert "预训练" in init_recipe(tmp_path)


def test_a_folder_without_text_is_refused_with_what_it_holds(tmp_path: Path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(UserError, match=r"no readable document.*1 \.pdf"):
        init_recipe(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        describe_folder(tmp_path / "none")
