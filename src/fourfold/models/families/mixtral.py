"""Mixtral (Jiang et al. 2024): Mistral with eight experts a layer, two for each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.mistral import MISTRAL
from fourfold.models.interop import Config, Family, class_name, expect, parts
from fourfold.models.transformer import Experts, TransformerConfig

MIXTURE, EXPERT = "model.layers.{i}.block_sparse_moe.", "model.layers.{i}.block_sparse_moe.experts.{e}."


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, router_jitter_noise=0.0)
    config = MISTRAL.read_config({"rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": None, **keys})
    assert isinstance(config, TransformerConfig)
    experts = Experts(
        count=keys.get("num_local_experts", 8),
        active=keys.get("num_experts_per_tok", 2),
        balance_weight=keys.get("router_aux_loss_coef", 0.001),
    )
    return replace(config, feed_forward=replace(config.feed_forward, experts=experts))


def _write(config: Config) -> dict[str, Any] | None:
    keys = MISTRAL.write_config(config)
    if keys is None or not isinstance(config, TransformerConfig) or config.feed_forward.experts is None:
        return None
    experts = config.feed_forward.experts
    mixture = {
        "num_local_experts": experts.count,
        "num_experts_per_tok": experts.active,
        "router_aux_loss_coef": experts.balance_weight,
    }
    return {**keys, **mixture}


MIXTRAL = Family(
    name="mixtral",
    architectures=class_name("Mixtral"),
    read_config=_read,
    write_config=_write,
    modules={
        **parts.LLAMA_ENDS,
        **parts.LLAMA_NORMS,
        **parts.LLAMA_ATTENTION,
        parts.LAYER + "feed_forward.router": MIXTURE + "gate",
        parts.LAYER + "feed_forward.experts.{e}.gate": EXPERT + "w1",
        parts.LAYER + "feed_forward.experts.{e}.up": EXPERT + "w3",
        parts.LAYER + "feed_forward.experts.{e}.down": EXPERT + "w2",
    },
    base="model",
)
