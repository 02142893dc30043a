"""Forward, backward and cached decoding of the same weights, ours and transformers', side by side.

    python benchmarks/family_speed.py [--families llama,gpt2,…] [--rounds 9] [--dtypes fp32,bf16] [-o FILE.json]

A random model of each family (hidden size 512, 6 layers) is saved by `transformers` and read by both. The peer runs
its own best attention (`sdpa`, or `eager` where it has no other), in eval mode for the forward pass and decoding, in
train mode without dropout for the backward pass. Both compute the logits of every position. Runs alternate; a figure
is the ratio of the medians, ours over theirs in tokens a second: above 1 we are faster. Rounds in which other
processes took more than a tenth of the machine are repeated, and named when they cannot be had.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from fourfold.models import Step
from fourfold.models.files import load_model

ROWS, LENGTH, PROMPT, NEW = 4, 256, 64, 32
SMALL = {"vocab_size": 8192, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8}
GATED = {**SMALL, "intermediate_size": 1408, "num_key_value_heads": 4, "max_position_embeddings": 1024}
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GATED),
    "mistral": ("MistralConfig", {**GATED, "sliding_window": 128}),
    "qwen2": ("Qwen2Config", GATED),
    "qwen3": ("Qwen3Config", {**GATED, "head_dim": 64}),
    "gemma2": ("Gemma2Config", {**GATED, "head_dim": 64}),
    "gemma3": ("Gemma3TextConfig", {**GATED, "head_dim": 64}),
    "olmo2": ("Olmo2Config", GATED),
    "mixtral": ("MixtralConfig", {**GATED, "num_local_experts": 4}),
    "gpt2": ("GPT2Config", {"vocab_size": 8192, "n_embd": 512, "n_layer": 6, "n_head": 8}),
    "gpt_neox": ("GPTNeoXConfig", {**SMALL, "intermediate_size": 2048, "max_position_embeddings": 1024}),
    "phi": ("PhiConfig", {**SMALL, "intermediate_size": 2048, "max_position_embeddings": 1024}),
    "falcon": ("FalconConfig", {**SMALL, "max_position_embeddings": 1024}),
    "bloom": ("BloomConfig", {"vocab_size": 8192, "hidden_size": 512, "n_layer": 6, "n_head": 8}),
    "opt": ("OPTConfig", {**SMALL, "ffn_dim": 2048, "word_embed_proj_dim": 512, "max_position_embeddings": 1024}),
    "bert": ("BertConfig", {**SMALL, "intermediate_size": 2048}),
    "t5": ("T5Config", {"vocab_size": 8192, "d_model": 512, "num_layers": 3, "num_heads": 8, "d_ff": 2048}),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pair(family: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Ours and the peer with the same weights."""
    name, keys = FAMILIES[family]
    config = getattr(transformers, name)(**{**NO_IDS, **keys} if family not in ("t5", "bert") else keys)
    auto = {"bert": "AutoModelForMaskedLM", "t5": "AutoModelForSeq2SeqLM"}.get(family, "AutoModelForCausalLM")
    for dropout in ("hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop",
                    "dropout_rate", "dropout", "hidden_dropout", "attention_dropout"):  # fmt: skip
        if getattr(config, dropout, None):
            setattr(config, dropout, 0.0)
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(config).to(dtype)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        ours = load_model(folder, dtype)
        attention = "eager" if family in ("gemma2", "t5") else "sdpa"  # sdpa would leave Gemma 2's soft cap out
        peer = getattr(transformers, auto).from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return ours, peer


def ids_of(length: int) -> torch.Tensor:
    return torch.randint(10, 8192, (ROWS, length), generator=torch.Generator().manual_seed(1))


def steps(family: str, ours: Any, peer: Any) -> dict[str, tuple[Callable[[], Any], Callable[[], Any], int]]:
    """Name to our run, their run, and the tokens of a run."""
    ids = ids_of(LENGTH)
    labelled = {"input_ids": ids, "decoder_input_ids": ids} if family == "t5" else {"input_ids": ids}
    step = Step(ids=ids, source=ids) if family == "t5" else Step(ids=ids)

    def our_forward() -> None:
        with torch.inference_mode():
            ours.logits(ours.hidden(step))

    def their_forward() -> None:
        with torch.inference_mode():
            peer(**labelled, use_cache=False) if family != "bert" else peer(**labelled)

    def our_backward() -> None:
        loss = torch.nn.functional.cross_entropy(ours.logits(ours.hidden(step)).float().flatten(0, 1), ids.flatten())
        loss.backward()
        ours.zero_grad(set_to_none=True)

    def their_backward() -> None:
        logits = peer(**labelled, use_cache=False).logits if family != "bert" else peer(**labelled).logits
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids.flatten()).backward()
        peer.zero_grad(set_to_none=True)

    found = {
        "forward": (our_forward, their_forward, ids.numel()),
        "backward": (our_backward, their_backward, ids.numel()),
    }
    if family != "bert":
        found["decode"] = (*_decoding(family, ours, peer), ROWS * NEW)
    return found


def _decoding(family: str, ours: Any, peer: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Greedy decoding of NEW tokens after a prompt of PROMPT."""
    prompt = ids_of(PROMPT)

    def our_decode() -> None:
        with torch.inference_mode():
            if family == "t5":
                state = ours.start(prompt, None, NEW + 1)
                ids = torch.zeros(ROWS, 1, dtype=torch.int64)
            else:
                state, ids = ours.new_state(ROWS, PROMPT + NEW), prompt
            for _ in range(NEW):
                hidden = ours.hidden(Step(ids=ids), state)
                ids = ours.logits(hidden[:, -1:]).argmax(-1)

    def their_decode() -> None:
        with torch.inference_mode():
            peer.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, min_new_tokens=NEW,
                          do_sample=False)  # fmt: skip

    def their_loop() -> None:
        with torch.inference_mode():
            cache, ids = transformers.DynamicCache(config=peer.config), prompt
            for _ in range(NEW):
                out = peer(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)

    return our_decode, their_decode if family in ("t5", "bloom") else their_loop


def foreign_share(started: tuple[float, float]) -> float:
    """Share of the machine that other processes used since `started` (from `clock`)."""
    busy, own = clock()
    seconds = busy - started[0]
    return 0.0 if seconds <= 0 else max(0.0, seconds - (own - started[1])) / (seconds or 1)


def clock() -> tuple[float, float]:
    """Seconds all processors were busy, and seconds of this process."""
    fields = [float(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(fields) - fields[3] - fields[4]) / ticks, time.process_time()


def measure(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float, int]:
    """Median seconds of each over alternating rounds, and how many rounds were disturbed."""
    ours(), theirs()
    mine: list[float] = []
    other: list[float] = []
    disturbed = 0
    while len(mine) < rounds:
        before = clock()
        times = []
        for run in (ours, theirs) if len(mine) % 2 else (theirs, ours):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        if foreign_share(before) > 0.1 and disturbed < rounds:
            disturbed += 1
            continue
        first, second = times if len(mine) % 2 else times[::-1]
        mine.append(first)
        other.append(second)
    return statistics.median(mine), statistics.median(other), disturbed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for dtype in arguments.dtypes.split(","):
        for family in arguments.families.split(","):
            ours, peer = pair(family, DTYPES[dtype])
            for work, (mine, theirs, tokens) in steps(family, ours, peer).items():
                ours.train(work == "backward"), peer.train(work == "backward")
                seconds, peer_seconds, disturbed = measure(mine, theirs, arguments.rounds)
                row = {"family": family, "dtype": dtype, "work": work, "ratio": round(peer_seconds / seconds, 3),
                       "ours": round(tokens / seconds), "theirs": round(tokens / peer_seconds),
                       "disturbed": disturbed}  # fmt: skip
                rows.append(row)
                print(f"{family:10} {dtype} {work:9} {row['ratio']:6.2f}x   {row['ours']:>7,} against "
                      f"{row['theirs']:>7,} tokens/s   disturbed rounds: {disturbed}", flush=True)  # fmt: skip
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
