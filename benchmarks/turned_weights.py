"""A pre-norm LLaMA with the same function and other weights: its hidden states turned by a random rotation.

    python benchmarks/turned_weights.py FOLDER [--model smollm2] [--seed 0]

What is quantized must not have been before: weights of a packed file lie on its grid, and a grid of the same width
meets them again. RMSNorm commutes with a rotation Q of the hidden states (Ashkboos et al. 2024, QuaRot, section 3),
so the norms' weights go into the matrices behind them, matrices that read the states become W Q and those that write
them Q^T W; queries and keys stay, and values are turned a head at a time. The error that the file's own rounding left
stays in the function. QuaRot shows as well that turned weights have fewer outliers, so 4 bits cost a little less here
than of the weights themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import fourfold
from fourfold.inference import LanguageModel
from fourfold.models import TransformerLM


def rotation(size: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (size, size) in fp64."""
    plain = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(plain).Q


def turn(module: TransformerLM, seed: int) -> TransformerLM:
    """The same function with other weights, the head untied from the table."""
    config = module.config
    assert config.head is not None
    assert (config.norm.kind, config.norm.place) == ("rms", "pre")
    turned = TransformerLM(replace(config, head=replace(config.head, tied=False)))
    weights = {name: weight.detach().double() for name, weight in module.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    states = rotation(config.hidden_size, generator)
    heads, kv_heads = config.attention.heads, config.attention.kv_heads or config.attention.heads
    size = config.hidden_size // heads
    head = weights.get("head.projection.weight", weights["stack.embedding.weight"])
    found = {"stack.embedding.weight": weights["stack.embedding.weight"] @ states}
    found["head.projection.weight"] = head * weights["stack.norm.weight"] @ states
    for layer in range(config.layers):
        place = f"stack.layers.{layer}"
        before_attention = weights[f"{place}.norm_attention.weight"]
        before_feed_forward = weights[f"{place}.norm_feed_forward.weight"]
        for name in ("query", "key", "value"):
            found[f"{place}.attention.{name}.weight"] = (
                weights[f"{place}.attention.{name}.weight"] * before_attention @ states
            )
        for name in ("gate", "up"):
            found[f"{place}.feed_forward.{name}.weight"] = (
                weights[f"{place}.feed_forward.{name}.weight"] * before_feed_forward @ states
            )
        inside = rotation(size, generator)
        value = found[f"{place}.attention.value.weight"].view(kv_heads, size, -1)
        found[f"{place}.attention.value.weight"] = (inside.T @ value).reshape(kv_heads * size, -1)
        output = weights[f"{place}.attention.output.weight"].view(-1, heads, size) @ inside
        found[f"{place}.attention.output.weight"] = states.T @ output.reshape(-1, heads * size)
        found[f"{place}.feed_forward.down.weight"] = states.T @ weights[f"{place}.feed_forward.down.weight"]
    with torch.no_grad():
        for name, weight in turned.named_parameters():
            weight.copy_(found.pop(name) if name in found else torch.ones_like(weight))
    assert not found, f"weights without a place: {sorted(found)[:3]}"
    return turned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lm = fourfold.load(options.model, dtype="fp32")
    assert isinstance(lm.module, TransformerLM)
    turned = turn(lm.module, options.seed)
    ids = torch.tensor([lm.tokenizer.encode("The sea is a vast and mysterious realm, teeming with life.")])
    with torch.no_grad():
        gap = (turned(ids)[0] - lm.module(ids)[0]).abs().max()
    print(f"largest difference of a logit: {float(gap):.1e}")
    LanguageModel(turned, lm.tokenizer, defaults=lm.defaults, stop_ids=lm.stop_ids).save(options.folder)


if __name__ == "__main__":
    main()
