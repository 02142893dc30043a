import json
import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from fourfold.adaptation.alignment import (
    DPO,
    dpo_loss,
    preference_batches,
    preference_pairs,
    preference_rule,
    prefers_short,
    read_preferences,
)
from fourfold.adaptation.instruction import conversation_batches
from fourfold.adaptation.peft import LoRAOptions, add_lora
from fourfold.errors import UserError
from fourfold.inference import ScriptedModel
from fourfold.models import Step
from fourfold.training import IGNORED, adamw, causal_language_modelling, constant, train

PAIRS = [
    {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No, and much more."},
    {"prompt": [{"role": "user", "content": "Why?"}], "chosen": "So.", "rejected": "Because of it."},
    {"prompt": "Who?", "chosen": [{"role": "assistant", "content": "Me."}], "rejected": "You."},
]


def trl_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    """TRL's own `compute_loss` of one batch, run on given log-probabilities in place of a model."""
    trl = pytest.importorskip("trl")
    pairs = len(chosen)
    log_probs = torch.cat([chosen, rejected])[:, None]
    filler = dict.fromkeys(("entropy", "mean_logits"), torch.zeros(2 * pairs, 1))
    outputs = SimpleNamespace(log_probs=log_probs, is_top1=torch.zeros(2 * pairs, 1, dtype=torch.bool), **filler)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x),
        precompute_ref_logps=True,
        aux_loss_enabled=False,
        use_weighting=False,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        label_smoothing=0.0,
        beta=beta,
        _total_train_tokens=0,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    inputs = {
        "input_ids": torch.zeros(2 * pairs, 2, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1]]).repeat(2 * pairs, 1),
        "ref_chosen_logps": chosen_reference,
        "ref_rejected_logps": rejected_reference,
    }
    return trl.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_loss_and_gradient_equal_trl(beta):
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 10
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    loss, expected = dpo_loss(*ours, beta).mean(), trl_loss(*theirs, beta)
    assert abs(float((loss - expected).detach())) <= 1e-5
    loss.backward()
    expected.backward()
    assert float(expected.detach()) > 0.1
    assert (ours.grad - theirs.grad).abs().max() <= 1e-6


def test_loss_equals_the_formula_in_fp64():
    generator = torch.Generator().manual_seed(1)
    chosen, rejected, chosen_reference, rejected_reference = torch.randn(4, 50, generator=generator) * 10
    losses = dpo_loss(chosen, rejected, chosen_reference, rejected_reference, 0.1)
    for row in range(50):
        margin = 0.1 * (
            (float(chosen[row]) - float(chosen_reference[row]))
            - (float(rejected[row]) - float(rejected_reference[row]))
        )
        assert float(losses[row]) == pytest.approx(math.log1p(math.exp(-margin)), abs=1e-5)


def whole_log_prob(model, tokenizer, prompt, answer, adapters):
    """ln P(answer and its end of turn | prompt), with full logits."""
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    ids, wanted = tokenizer.encode_chat_with_mask(messages)
    tensor = torch.tensor([ids])
    log_probs = model.logits(model.hidden(Step(ids=tensor, adapters=adapters))).log_softmax(-1)
    chosen = log_probs[0, :-1].gather(-1, tensor[0, 1:, None])[:, 0]
    return float(chosen[torch.tensor(wanted[1:])].sum().detach())


def sft_model(llama, tokenizer, steps=3):
    model = llama()
    add_lora(model, LoRAOptions(rank=2, dropout=0.3))
    data = [[{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]]
    batches = conversation_batches(data, tokenizer, 1, 128)
    optimizer = adamw(model, 0.05)
    for _ in train(model, causal_language_modelling(), batches, optimizer, steps=steps, schedule=constant(0.05)):
        pass
    return model


def test_after_sft_the_reference_is_the_sft_model(llama, tokenizer):
    model = sft_model(llama, tokenizer)
    add_lora(model, LoRAOptions(rank=2), seed=5)
    model.train()
    (batch,) = preference_batches(PAIRS, tokenizer, 3, 128).at(0)
    sums = DPO(beta=0.1, reference_adapters=1)(model, batch)
    exact = 3 * F.softplus(torch.zeros(()))
    assert float(sums["preference"].detach()) == float(exact)
    assert float(sums["margin"]) == 0.0
    wrong = DPO(beta=0.1, reference_adapters=0)(model, batch)
    assert abs(float(wrong["preference"].detach()) - float(exact)) > 1e-3


def test_objective_equals_whole_log_probs_by_hand(llama, tokenizer):
    model = sft_model(llama, tokenizer)
    model.eval()
    record = {"prompt": "Why?", "chosen": "So.", "rejected": "Because of it."}
    (batch,) = preference_batches([record], tokenizer, 1, 128).at(0)
    sums = DPO(beta=0.2, reference_adapters=0)(model, batch)
    policy = [whole_log_prob(model, tokenizer, "Why?", record[side], None) for side in ("chosen", "rejected")]
    reference = [whole_log_prob(model, tokenizer, "Why?", record[side], 0) for side in ("chosen", "rejected")]
    margin = 0.2 * ((policy[0] - reference[0]) - (policy[1] - reference[1]))
    assert float(sums["margin"]) == pytest.approx(margin, abs=1e-3)
    assert float(sums["preference"].detach()) == pytest.approx(math.log1p(math.exp(-margin)), abs=1e-3)


def test_dpo_learns_through_the_one_loop_and_leaves_the_reference_alone(llama, tokenizer):
    model = sft_model(llama, tokenizer)
    add_lora(model, LoRAOptions(rank=2), seed=5)
    source = preference_batches(PAIRS, tokenizer, 3, 128, micro_batch=2)
    assert len(source.at(0)) == 2
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    objective = DPO(beta=0.1, reference_adapters=1)
    done = list(train(model, objective, source, adamw(model, 0.02), steps=25, schedule=constant(0.02)))
    assert done[0].losses["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert done[-1].losses["loss"] < 0.3
    assert done[-1].losses["accuracy"] == 1.0
    assert done[-1].losses["margin"] > 0.5
    assert all(torch.equal(frozen[name], p) for name, p in model.named_parameters() if name in frozen)


def test_only_the_last_answer_is_labelled(tokenizer):
    prompt = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "bb"},
        {"role": "user", "content": "c"},
    ]
    (batch,) = preference_batches([{"prompt": prompt, "chosen": "dd", "rejected": "eee"}], tokenizer, 1, 128).at(0)
    texts = [tokenizer.decode(row[row != IGNORED].tolist()).strip() for row in batch.labels]
    assert texts == ["dd", "eee"]


def test_a_pair_cut_to_equality_is_dropped(tokenizer):
    pair = {"prompt": "x" * 300, "chosen": "a", "rejected": "b"}
    with pytest.raises(UserError, match="no preference pair"):
        preference_batches([pair], tokenizer, 1, 64)


def test_preference_files(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([json.dumps(PAIRS[0]), "{", json.dumps({"prompt": "x"}), json.dumps(PAIRS[2])]))
    assert read_preferences(path) == [PAIRS[0], PAIRS[2]]
    with pytest.raises(UserError, match=r"pairs\.jsonl:2"):
        read_preferences(path, strict=True)


def test_short_is_counted_in_words_and_han_characters():
    assert prefers_short("One two three.", 3)
    assert not prefers_short("One two three four.", 3)
    assert not prefers_short("One two", 3)
    assert prefers_short("天很蓝。", 3)
    assert not prefers_short("天很蓝啊。", 3)
    assert prefers_short("It costs 3.5 dollars.", 4)


def test_pairs_set_an_answer_against_its_own_beginning():
    long = "The sky is blue. " + "It really is very blue indeed on most days of the year here. " * 3
    model = ScriptedModel([long, "Short enough.", "no end " * 40])
    rule = preference_rule("short")
    (pair,) = preference_pairs(model, ["a", "b", "c"], rule)
    assert pair["prompt"] == "a"
    assert rule.check(pair["chosen"])
    assert not rule.check(pair["rejected"])
    assert pair["rejected"].startswith(pair["chosen"])


def test_nothing_to_prefer_and_unknown_rules_are_errors():
    with pytest.raises(UserError, match="nothing to prefer"):
        preference_pairs(ScriptedModel(["Fine."]), ["a"], preference_rule("short"))
    with pytest.raises(UserError, match="Did you mean 'short'"):
        preference_rule("shrt")
