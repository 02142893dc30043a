"""The oracles can fail: each of six deliberate mistakes in our code or tables shows in the logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import TOLERANCE, Case, difference, random_ids, write_oracle
from oracle_decoders import BLOOM, GLM, GPT_NEOX, LLAMA, OLMO2
from oracle_encoders import T5

from fourfold.models import EncoderDecoderConfig, Step, TransformerConfig, make_module
from fourfold.models.families import FAMILIES
from fourfold.models.files import load_model
from fourfold.models.transformer import Relative, Rotary, positions

pytest.importorskip("transformers")

LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A mistake somebody could make."""

    name: str
    case: Case
    config: Callable[[Any], Any] = lambda config: config
    """Applied to the configuration that was read."""
    patch: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    """Applied to the code and tables before anything is read."""


def other_base(config: TransformerConfig) -> TransformerConfig:
    assert isinstance(config.positions, Rotary)
    return replace(config, positions=replace(config.positions, base=1.1 * config.positions.base))


def other_distances(config: EncoderDecoderConfig) -> EncoderDecoderConfig:
    def changed(stack: TransformerConfig) -> TransformerConfig:
        assert isinstance(stack.positions, Relative)
        return replace(stack, positions=replace(stack.positions, max_distance=2 * stack.positions.max_distance))

    return replace(config, encoder=changed(config.encoder), decoder=changed(config.decoder))


def norms_before(config: TransformerConfig) -> TransformerConfig:
    return replace(config, norm=replace(config.norm, place="pre"))


def serial(config: TransformerConfig) -> TransformerConfig:
    return replace(config, residual="serial")


def steeper_slopes(patch: pytest.MonkeyPatch) -> None:
    slopes = positions.alibi_slopes
    patch.setattr(positions, "alibi_slopes", lambda heads: [1.1 * slope for slope in slopes(heads)])


def swapped_gate(patch: pytest.MonkeyPatch) -> None:
    family = FAMILIES["glm"]
    fused = tuple(replace(part, parts=part.parts[::-1]) for part in family.fused)
    patch.setitem(FAMILIES, "glm", replace(family, fused=fused))


MUTATIONS = [
    Mutation(name="base of rotary positions", case=LLAMA[0], config=other_base),
    Mutation(name="slopes of ALiBi", case=BLOOM[0], patch=steeper_slopes),
    Mutation(name="buckets of relative positions", case=T5[0], config=other_distances),
    Mutation(name="place of the norms", case=OLMO2[0], config=norms_before),
    Mutation(name="order of gate and up", case=GLM[0], patch=swapped_gate),
    Mutation(name="parallel branches", case=GPT_NEOX[0], config=serial),
]


def error(case: Case, theirs: Any, ours: Any) -> float:
    """How far our logits are from theirs."""
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        if case.auto == "AutoModelForSeq2SeqLM":
            wanted = theirs(input_ids=ids, decoder_input_ids=ids).logits
            return difference(ours.logits(ours.hidden(Step(ids=ids, source=ids))), wanted)
        return difference(ours.logits(ours.hidden(Step(ids=ids))), theirs(input_ids=ids).logits)


def load_mutated(mutation: Mutation, folder: Path) -> Any:
    original = load_model(folder)
    mutated = make_module(mutation.config(original.config)).eval()
    mutated.load_state_dict(original.state_dict())
    return mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mistake_shows(mutation: Mutation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = write_oracle(mutation.case, tmp_path)
    assert error(mutation.case, theirs, load_model(tmp_path)) <= TOLERANCE
    mutation.patch(monkeypatch)
    assert error(mutation.case, theirs, load_mutated(mutation, tmp_path)) > 10 * TOLERANCE
