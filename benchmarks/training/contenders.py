"""Who trains: each contender makes a generator of losses, one a step, from the same weights and data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from sizes import BETAS, CLIP, CONTEXT, DECAY, VOCABULARY, Size, data
from torch import nn

STEPS = 4096
"""More than are ever asked for; the data repeats after `DISTINCT` steps."""
DISTINCT = 64
Losses = Iterator[float]


def our_model(size: Size) -> Any:
    from fourfold.models import make_module, model_config

    options = {"family": "llama", "layers": size.layers, "hidden_size": size.width, "heads": size.heads,
               "feed_forward_size": size.inner, "context": CONTEXT}  # fmt: skip
    module = make_module(model_config(options, VOCABULARY))
    module.initialise(torch.Generator().manual_seed(0))
    return module


def ours(size: Size, compile_it: bool, in_bytes: bool = False) -> Losses:
    """The loop that `fourfold pretrain` runs, with AdamW's moments in fp32 or in bytes."""
    from fourfold.training import (
        FixedBatches,
        LabelledBatch,
        causal_language_modelling,
        choose_precision,
        compile_regions,
        constant,
        make_optimizer,
        train,
    )

    model, objective = our_model(size), causal_language_modelling()
    if compile_it:
        objective = compile_regions(model, objective)
    batches = FixedBatches([[LabelledBatch(ids[:, :-1], ids[:, 1:])] for ids in data(DISTINCT, size.rows)])
    kind, rate = "adamw-8bit" if in_bytes else "adamw", constant(size.rate)  # both with the betas of the others
    optimizer, precision = make_optimizer(kind, model, size.rate, weight_decay=DECAY), choose_precision("cpu", model)
    for step in train(model, objective, batches, optimizer, steps=STEPS, schedule=rate, precision=precision):
        yield step.losses["loss"]


def transformers_model(size: Size) -> nn.Module:
    """Our weights, through a folder that `transformers` reads."""
    import transformers

    from fourfold.models.files import save_model

    with tempfile.TemporaryDirectory() as folder:
        save_model(our_model(size), folder)
        model: nn.Module = transformers.LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        )
    return model


def transformers_losses(size: Size, fast: bool) -> Losses:
    """The default (fp32, eager), or autocast with the whole model and its loss compiled."""
    model = transformers_model(size)

    def loss(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=inputs, shift_labels=labels, labels=labels, use_cache=False).loss
        return found

    return peer_loop(model, torch.compile(loss) if fast else loss, size, autocast=fast)


def litgpt_losses(size: Size, mixed: bool) -> Losses:
    """LitGPT's model, compiled with its loss: mixed like ours, or all bf16 as its pre-training defaults to."""
    from litgpt.config import Config
    from litgpt.model import GPT

    config = Config(
        block_size=CONTEXT, vocab_size=VOCABULARY, padded_vocab_size=VOCABULARY, n_layer=size.layers,
        n_head=size.heads, n_embd=size.width, rotary_percentage=1.0, parallel_residual=False, bias=False,
        norm_class_name="RMSNorm", norm_eps=our_model(size).config.norm.epsilon, mlp_class_name="LLaMAMLP",
        intermediate_size=size.inner,
    )  # fmt: skip
    model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight  # tied, like the others
    copy_to_litgpt(our_model(size), model)
    if not mixed:
        model.to(torch.bfloat16)

    def loss(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(inputs).flatten(0, 1).float(), labels.flatten())

    return peer_loop(model, torch.compile(loss), size, autocast=mixed)


def copy_to_litgpt(source: Any, target: Any) -> None:
    with torch.no_grad():
        target.transformer.wte.weight.copy_(source.stack.embedding.weight)
        target.transformer.ln_f.weight.copy_(source.stack.norm.weight)
        for mine, theirs in zip(source.stack.layers, target.transformer.h, strict=True):
            attention, feed = mine.attention, mine.feed_forward
            parts = [attention.query.weight, attention.key.weight, attention.value.weight]
            theirs.attn.qkv.weight.copy_(torch.cat(parts))
            theirs.attn.proj.weight.copy_(attention.output.weight)
            theirs.mlp.fc_1.weight.copy_(feed.gate.weight)
            theirs.mlp.fc_2.weight.copy_(feed.up.weight)
            theirs.mlp.proj.weight.copy_(feed.down.weight)
            theirs.norm_1.weight.copy_(mine.norm_attention.weight)
            theirs.norm_2.weight.copy_(mine.norm_feed_forward.weight)


def peer_loop(model: nn.Module, loss_of: Callable[..., torch.Tensor], size: Size, *, autocast: bool) -> Losses:
    """The usual loop: autocast, backward, clip, fused AdamW with decay on matrices only."""
    model.train()
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.ndim < 2 or id(p) in embeddings]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=size.rate, betas=BETAS, fused=True)
    batches = data(DISTINCT, size.rows)
    for step in range(STEPS):
        inputs, labels = batches[step % DISTINCT][:, :-1].contiguous(), batches[step % DISTINCT][:, 1:].contiguous()
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = loss_of(inputs, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()


CONTENDERS: dict[str, Callable[[Size], Losses]] = {
    "fourfold": lambda size: ours(size, compile_it=True),
    "fourfold adamw-8bit": lambda size: ours(size, compile_it=True, in_bytes=True),
    "fourfold --no-compile": lambda size: ours(size, compile_it=False),
    "transformers fp32": lambda size: transformers_losses(size, fast=False),
    "transformers bf16 + compile": lambda size: transformers_losses(size, fast=True),
    "litgpt bf16-mixed + compile": lambda size: litgpt_losses(size, mixed=True),
    "litgpt bf16-true + compile": lambda size: litgpt_losses(size, mixed=False),
}
