"""Every benchmark beside lm-eval: the same texts to the letter, the same log-likelihoods, the same verdicts."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fourfold.inference import LanguageModel
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

sys.path.insert(0, str(Path(__file__).parent))

from agreement import compare
from lm_eval_oracle import TASKS, Data, ask_lm_eval, write_jsonl

pytestmark = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed")

SUBJECTS = {"mmlu": "high_school_physics", "mmlu by likelihood": "anatomy", "ceval": "law", "cmmlu": "nutrition"}
WITHOUT_SHOTS = ("lambada", "truthfulqa_mc1", "truthfulqa_mc2")


def labelled(question, *choices, answer, key="question"):
    labels = "ABCDE"[: len(choices)]
    return {"id": question[:9], key: question, "choices": {"text": list(choices), "label": list(labels)}} | {
        "answerKey": answer
    }


def lettered(question, answer, *choices):
    return {"question": question, **dict(zip("ABCD", choices, strict=True)), "answer": answer}


def exam(question, answer, *choices, subject):
    return {"question": question, "subject": subject, "choices": list(choices), "answer": answer}


def truth(question, one, all_of):
    fields = {"mc1_targets": one, "mc2_targets": all_of}
    return {"question": question} | {
        name: {"choices": list(texts), "labels": list(texts.values())} for name, texts in fields.items()
    }


QUESTIONS = [
    labelled("Why does ice float?", "It is light.", "It is less dense than water", "It is cold", answer="B"),
    labelled("What do plants take in ", "light", "meat — never", answer="A"),
    labelled("Which is a metal?\nChoose.", "iron", "salt", "wood", "air", answer="A"),
]
EXAM = [(" What falls? ", 2, "up", "left", "down", "nothing"), ("H2O is", 0, "water", "salt", "gas", "é")]
CHINESE = [("水的化学式是 ", "A", "H2O", "CO2", "O2", "NaCl"), ("哪一项是水果？", "C", "石头", "椅", "苹果", "云")]
RECORDS = {
    "arc_easy": QUESTIONS,
    "arc_challenge": QUESTIONS[::-1],
    "openbookqa": [
        labelled("The sun is", "a star", "a stone", answer="A", key="question_stem"),
        labelled("Fish live", "in trees", "in water", "on roofs", answer="B", key="question_stem"),
    ],
    "mmlu": [exam(*row, subject="high_school_physics") for row in EXAM],
    "mmlu by likelihood": [exam(*row, subject="anatomy") for row in EXAM],
    "ceval": [lettered(*row) for row in CHINESE],
    "cmmlu": [{name.title(): value for name, value in lettered(*row).items()} for row in CHINESE],
    "winogrande": [
        {"sentence": "Ann thanked Bo because _ had helped.", "option1": "Ann", "option2": "Bo", "answer": "2"},
        {"sentence": "The cup left the table as the _ was round.", "option1": "cup", "option2": "table", "answer": "1"},
    ],
    "piqa": [
        {"goal": "Open a jar", "sol1": "twist the lid", "sol2": "shout at it", "label": 0},
        {"goal": "Dry a shirt", "sol1": "put it in water", "sol2": "hang it in the sun", "label": 1},
    ],
    "siqa": [
        {"context": "Kim fell.", "question": "What next?", "label": "1"}
        | {"answerA": "get up", "answerB": "fly", "answerC": "eat"},
        {"context": "Lee sang.", "question": "Why?", "label": "3"}
        | {"answerA": "anger", "answerB": "hunger", "answerC": "joy"},
    ],
    "commonsense_qa": [
        labelled("Where is a bed?", "a lake", "a bedroom", "a cloud", "a cup", "a shoe", answer="B"),
        labelled(" What is hot?", "ice", "fire", "snow", "glass", "night", answer="B"),
    ],
    "hellaswag": [
        {"activity_label": "Baking", "ctx_a": "A man stirs.", "ctx_b": "he", "label": "1",
         "endings": ["sings [step] loudly.", "pours  the dough.", "is a tree.", "leaves."]},
        {"activity_label": "Home", "ctx_a": "[header] Paint [title] Open the tin.", "ctx_b": "", "label": "0",
         "endings": ["Stir it. [substeps] Well.", "Eat it.", "Sell it.", "Sing."]},
    ],
    "boolq": [
        {"passage": "Iron rusts in rain.", "question": "does iron rust", "label": 1},
        {"passage": "Fish have no wool.", "question": "do fish have wool", "label": 0},
    ],
    "lambada": [{"text": "She opened the door and saw the dog"}, {"text": "“Stay,” he said, and the dog did stay"}],
    "truthfulqa_mc1": [
        truth("Do pigs fly?", {"No": 1, "Yes": 0}, {"No": 1, "They do not": 1, "Yes, at night": 0}),
        truth("Is it cold?", {"I do not know": 1, "It is": 0}, {"I do not know": 1, "Always": 0, "Never": 0}),
    ],
}  # fmt: skip
RECORDS["truthfulqa_mc2"] = RECORDS["truthfulqa_mc1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = byte_tokenizer()
    module = build_model({"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "context": 2048},
                         tokenizer.vocabulary_size, seed=1).eval()  # fmt: skip
    with torch.no_grad():  # sharper than a fresh model, so that choices differ
        for parameter in module.parameters():
            parameter.mul_(3)
    model = LanguageModel(module, tokenizer)
    folder = tmp_path_factory.mktemp("model") / "hf"
    model.save(folder)
    return model, folder


def test_every_benchmark_but_the_generated_has_a_peer():
    assert set(RECORDS) == set(TASKS)


@pytest.mark.parametrize("shots", [0, 2])
def test_texts_and_log_likelihoods_are_lm_evals(shots, model, tmp_path):
    language_model, folder = model
    sets = []
    for name, records in RECORDS.items():
        if shots and name in WITHOUT_SHOTS:
            continue
        subject = SUBJECTS.get(name, "")
        stem = f"{name}/{subject or 'all'}".replace(" ", "_")
        others = [{**record, "id": "shot"} | changed(record) for record in records]
        shown = write_jsonl(tmp_path / "data" / f"{stem}_dev.jsonl", others)
        sets.append(Data(name, write_jsonl(tmp_path / "data" / f"{stem}_test.jsonl", records), shown, subject))
    theirs = ask_lm_eval(folder, sets, tmp_path / "peer", shots=shots).asked
    for data in sets:
        found = compare(language_model, data, theirs[data.task], shots)
        assert found.other_texts == 0, found
        assert found.largest < 1e-3, found
        assert found.other_scores == 0, found


def changed(record):
    """The question of a demonstration, so that it is none of those asked."""
    for name in ("question", "question_stem", "Question", "sentence", "goal", "ctx_a", "passage"):
        if name in record:
            return {name: "Now then: " + record[name]}
    return {}
