"""`[pretrain.…] objective = …`: every kind of model by recipe, measured by what it is, loaded again."""

import json
import random

import pytest

import fourfold
from fourfold.errors import UserError
from fourfold.inference import TextEncoder
from fourfold.workflow import parse_recipe, run_recipe

WORDS = ["the", "a", "fox", "dog", "cat", "runs", "jumps", "sleeps", "over", "near", "river", "quickly", "then"]
STAGE = """
[pretrain.{name}]
model = {model}
objective = {objective}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ steps = 4 }}
checkpoint = {{ steps = 2 }}
curve = {{ points = 2 }}
"""
SIZES = "layers = 1, hidden_size = 16, heads = 2, context = 32"
MODELS = {
    "bert": (f'{{ family = "bert", {SIZES} }}', '{ kind = "masked", pairs = "next-sentence", whole_words = true }'),
    "t5": (f'{{ family = "t5", {SIZES} }}', '{ kind = "span-corruption" }'),
    "bart": (f'{{ family = "bart", {SIZES} }}', '{ kind = "denoising", noises = ["text-infilling"] }'),
    "prefix": (f'{{ family = "llama", {SIZES}, mask = "prefix", experts = 2 }}', '{ kind = "mixture" }'),
    "infilling": (f'{{ family = "gpt2", {SIZES} }}', '{ kind = "infilling", rate = 0.9 }'),
}
RECIPE = """
name = "objectives"
seed = 5
[corpus.text]
sources = ["{folder}"]
sample_bytes = 2000
held_out_fraction = 0.2
filters = []
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 400
reserve = ["mask", "sentinels", "modes", "infilling"]
"""


@pytest.fixture(scope="module")
def recipe_text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(0)
    for number in range(40):
        lines = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(12)]
        (folder / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    stages = [STAGE.format(name=name, model=model, objective=goal) for name, (model, goal) in MODELS.items()]
    return RECIPE.format(folder=folder.as_posix()) + "".join(stages)


@pytest.fixture(scope="module")
def run(recipe_text, tmp_path_factory):
    return run_recipe(parse_recipe(recipe_text), tmp_path_factory.mktemp("runs")).folder


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", MODELS)
def test_bits_per_byte_are_of_models_that_read_forward(run, name):
    curve = lines(run / f"pretrain.{name}" / "curve.jsonl")
    assert ("bits_per_byte" in curve[0]) == (name in ("prefix", "infilling"))
    assert all(row["held_out"]["cross_entropy"] > 0 for row in curve)
    assert ("classes" in curve[0]["held_out"]) == (name == "bert")
    assert ("balance" in curve[0]["held_out"]) == (name == "prefix")
    card = json.loads((run / f"pretrain.{name}" / "card.json").read_text("utf-8"))
    assert card["generation"] == "pre-trained"
    assert card["objective"]["kind"] in ("masked", "span-corruption", "denoising", "mixture", "infilling")
    metrics = lines(run / f"pretrain.{name}" / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4]


def test_an_encoder_is_loaded_with_its_frame(run):
    model = fourfold.load(str(run / "pretrain.bert" / "model"))
    assert isinstance(model, TextEncoder)
    (found,) = model.fill_mask("The fox [MASK] over the river.", k=3)
    assert len(found) == 3
    names = [model.tokenizer.decode([id], skip_special=False) for id in model.tokenizer.encode("a dog")]
    assert (names[0], names[-1]) == ("[CLS]", "[SEP]")
    pair = model.tokenizer.encode_pair("a dog", "a cat")
    assert sorted(set(pair.segments)) == [0, 1]
    assert sum(id == pair.ids[-1] for id in pair.ids) == 2
    assert model.embed(["a dog"]).shape == (1, 16)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_encoder_decoder_is_loaded_and_writes(run, name):
    model = fourfold.load(str(run / f"pretrain.{name}" / "model"))
    assert model.module.config.decoder_start_id == model.tokenizer.eos_id
    assert model.tokenizer.encode("a dog")[-1] == model.tokenizer.eos_id
    assert isinstance(model.generate(["the fox"])[0].text, str)


def test_a_stage_that_crashed_ends_alike(recipe_text, run, tmp_path, monkeypatch):
    import fourfold.training

    real, calls = fourfold.training.save_checkpoint, []

    def save_until(folder, *args, **options):
        calls.append(folder)
        if folder.parent.name == "pretrain.bart" and len([c for c in calls if c == folder]) == 2:
            raise RuntimeError
        return real(folder, *args, **options)

    monkeypatch.setattr(fourfold.training, "save_checkpoint", save_until)
    with pytest.raises(RuntimeError):
        run_recipe(parse_recipe(recipe_text), tmp_path)
    monkeypatch.undo()
    again = run_recipe(parse_recipe(recipe_text), tmp_path).folder
    weights = "pretrain.bart/model/model.safetensors"
    assert (again / weights).read_bytes() == (run / weights).read_bytes()


def one_stage(model, objective, tokenizer="vocabulary_size = 400"):
    stage = STAGE.format(name="x", model=model, objective=objective)
    head = f'name = "x"\n[corpus.text]\nsources = ["stdlib"]\n[tokenizer.bpe]\ncorpus = "corpus.text"\n{tokenizer}\n'
    return head + (stage if objective else stage.replace("objective = \n", ""))


@pytest.mark.parametrize(
    ("model", "objective", "words"),
    [
        ('{ family = "bert" }', "", "predicting the next token does not fit a model that is bidirectional"),
        ('{ family = "t5" }', "", "does not fit a model that is encoder-decoder"),
        ('{ family = "llama" }', '{ kind = "masked" }', "'masked' does not fit a model that is causal"),
        ('{ family = "lstm" }', '{ kind = "masked" }', "'masked' does not fit a model that is causal"),
        ('{ family = "bert" }', '{ kind = "maskd" }', "Did you mean 'masked'"),
        ('{ family = "ngram", order = 3 }', '{ kind = "causal" }', "an n-gram model is counted"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(model, objective, words):
    with pytest.raises(UserError, match=words):
        parse_recipe(one_stage(model, objective))


def test_a_tokenizer_without_the_tokens_is_named(recipe_text, tmp_path):
    text = recipe_text.replace('reserve = ["mask", "sentinels", "modes", "infilling"]', "")
    with pytest.raises(UserError, match=r'no \[MASK\].*reserve = \["mask"\]'):
        run_recipe(parse_recipe(text), tmp_path)
