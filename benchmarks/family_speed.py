"""Forward, backward and cached decoding of the same weights, ours and transformers', side by side.

    python benchmarks/family_speed.py [--families llama,gpt2,…] [--rounds 9] [--dtypes fp32,bf16] [-o FILE.json]
    python benchmarks/family_speed.py --clock processor          on a machine that others use too

A random model of each family (hidden size 512, 4 layers) is saved by `transformers` and read by both. The peer runs
its own best attention (`sdpa`; `eager` where it has no other), in eval mode for the forward pass and decoding, in
train mode without dropout for the backward pass. Both compute the logits of every position. Runs alternate in pairs;
a figure is the median over the pairs of their time over ours: above 1 we are faster. `best` compares the fastest run
of each, which disturbance, that only adds, moves least.

With the wall clock, pairs during which other processes took more than a tenth of the machine do not count: they are
repeated, and a row that never had its quiet pairs is void. The processor clock runs one thread and counts only the
time it was given, so neighbours cost it no more than their share of caches and memory.
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
from typing import Any, NamedTuple

import torch
import transformers

from fourfold.models import EncoderDecoder, Step
from fourfold.models.files import load_model

ROWS, LENGTH, PROMPT, NEW, VOCABULARY = 2, 128, 64, 16, 8192
QUIET, PATIENCE = 0.1, 3
"""Share of the machine others may take during a pair; how many times the wanted pairs are tried."""
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
         "max_position_embeddings": 1024}  # fmt: skip
PLAIN = {**SMALL, "intermediate_size": 2048}
GATED = {**SMALL, "intermediate_size": 1408, "num_key_value_heads": 4}
HEADED = {**GATED, "head_dim": 64}
T5 = {"vocab_size": VOCABULARY, "d_model": 512, "num_layers": 2, "num_heads": 8, "d_ff": 2048}
BART = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 8, "decoder_attention_heads": 8,
        "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048}  # fmt: skip
DISTILBERT = {"vocab_size": VOCABULARY, "dim": 512, "n_layers": 4, "n_heads": 8, "hidden_dim": 2048}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", GATED),
    "mistral": ("MistralForCausalLM", {**GATED, "sliding_window": 128}),
    "mixtral": ("MixtralForCausalLM", {**GATED, "num_local_experts": 4}),
    "qwen2": ("Qwen2ForCausalLM", GATED),
    "qwen3": ("Qwen3ForCausalLM", HEADED),
    "gemma": ("GemmaForCausalLM", HEADED),
    "gemma2": ("Gemma2ForCausalLM", HEADED),
    "gemma3": ("Gemma3ForCausalLM", HEADED),
    "olmo2": ("Olmo2ForCausalLM", GATED),
    "glm": ("GlmForCausalLM", HEADED),
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": VOCABULARY, "n_embd": 512, "n_layer": 4, "n_head": 8}),
    "gpt_neox": ("GPTNeoXForCausalLM", PLAIN),
    "phi": ("PhiForCausalLM", PLAIN),
    "falcon": ("FalconForCausalLM", SMALL),
    "bloom": ("BloomForCausalLM", {"vocab_size": VOCABULARY, "hidden_size": 512, "n_layer": 4, "n_head": 8}),
    "opt": ("OPTForCausalLM", {**SMALL, "ffn_dim": 2048, "word_embed_proj_dim": 512}),
    "bert": ("BertForMaskedLM", PLAIN),
    "roberta": ("RobertaForMaskedLM", PLAIN),
    "electra": ("ElectraForMaskedLM", {**PLAIN, "embedding_size": 512}),
    "distilbert": ("DistilBertForMaskedLM", DISTILBERT),
    "bart": ("BartForConditionalGeneration", {**BART, "vocab_size": VOCABULARY, "d_model": 512}),
    "t5": ("T5ForConditionalGeneration", T5),
    "mt5": ("MT5ForConditionalGeneration", {**T5, "d_ff": 1408, "d_kv": 64}),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Work = Callable[[], Any]


class Pair(NamedTuple):
    """Ours and the peer with the same weights."""

    ours: Any
    peer: Any

    @property
    def reads(self) -> bool:
        """Whether there is a source to read first."""
        return isinstance(self.ours, EncoderDecoder)


def make_pair(family: str, dtype: torch.dtype) -> Pair:
    name, keys = FAMILIES[family]
    kind = getattr(transformers, name)
    if name.endswith("ForCausalLM"):
        keys = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **keys}
    text_config = {"Gemma3ForCausalLM": "Gemma3TextConfig"}.get(name)
    config = (getattr(transformers, text_config) if text_config else kind.config_class)(**keys)
    for key in config.to_dict():  # no dropout, which has as many names as families
        if "drop" in key and isinstance(getattr(config, key), float):
            setattr(config, key, 0.0)
    torch.manual_seed(0)
    model = kind._from_config(config).to(dtype)
    attention = "sdpa" if kind._supports_sdpa and family != "gemma2" else "eager"  # sdpa would drop its soft cap
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        peer = kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
        return Pair(load_model(folder, dtype), peer)


def ids_of(length: int) -> torch.Tensor:
    return torch.randint(10, VOCABULARY, (ROWS, length), generator=torch.Generator().manual_seed(1))


def works(pair: Pair) -> dict[str, tuple[Work, Work]]:
    """Name to our run and theirs; each is of `ROWS` times `LENGTH` tokens, or `NEW` in decoding."""
    ours, peer, ids = pair.ours, pair.peer, ids_of(LENGTH)
    keys = {"input_ids": ids, **({"decoder_input_ids": ids} if pair.reads else {})}
    decodes = pair.reads or ours.config.mask == "causal"
    keys |= {"use_cache": False} if decodes else {}
    step = Step(ids=ids, source=ids if pair.reads else None)

    def our_logits() -> torch.Tensor:
        logits: torch.Tensor = ours.logits(ours.hidden(step))
        return logits

    def learn(model: Any, logits: Callable[[], torch.Tensor]) -> None:
        torch.nn.functional.cross_entropy(logits().float().flatten(0, 1), ids.flatten()).backward()
        model.zero_grad(set_to_none=True)

    found: dict[str, tuple[Work, Work]] = {
        "forward": (torch.inference_mode()(our_logits), torch.inference_mode()(lambda: peer(**keys).logits)),
        "backward": (lambda: learn(ours, our_logits), lambda: learn(peer, lambda: peer(**keys).logits)),
    }
    if decodes:
        found["decode"] = (
            torch.inference_mode()(lambda: our_decoding(pair)),
            torch.inference_mode()(lambda: their_decoding(pair)),
        )
    return found


def our_decoding(pair: Pair) -> torch.Tensor:
    """The greedy tokens after a prompt (or a source) of PROMPT."""
    ours, ids = pair.ours, ids_of(PROMPT)
    state = ours.start(ids, None, NEW) if pair.reads else ours.new_state(ROWS, PROMPT + NEW)
    ids = torch.zeros_like(ids[:, :1]) if pair.reads else ids
    made = []
    for _ in range(NEW):
        ids = ours.logits(ours.hidden(Step(ids=ids), state)[:, -1:]).argmax(-1)
        made.append(ids)
    return torch.cat(made, 1)


def their_decoding(pair: Pair) -> torch.Tensor:
    """The same by the peer's forward pass and cache; `generate` would add its own checks to each token."""
    peer, ids = pair.peer, ids_of(PROMPT)
    cache: Any = transformers.DynamicCache(config=peer.config)
    keys: dict[str, Any] = {"logits_to_keep": 1}
    if pair.reads:
        keys = {"encoder_outputs": peer.get_encoder()(input_ids=ids)}
        cache = transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache())
        ids = torch.zeros_like(ids[:, :1])
    made = []
    for _ in range(NEW):
        named = {"decoder_input_ids" if pair.reads else "input_ids": ids}
        out = peer(**named, **keys, past_key_values=cache, use_cache=True)
        ids = out.logits[:, -1:].argmax(-1)
        made.append(ids)
    return torch.cat(made, 1)


def clock() -> tuple[float, float]:
    """Seconds all processors were busy, and seconds of this process."""
    fields = [float(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK"), time.process_time()


def quiet(before: tuple[float, float], seconds: float) -> bool:
    """Whether others left this process its machine since `before`."""
    busy, own = (now - then for now, then in zip(clock(), before, strict=True))
    return busy - own <= QUIET * seconds * (os.cpu_count() or 1) + 0.01  # ticks of a hundredth


def measure(ours: Work, theirs: Work, rounds: int, now: Callable[[], float], watch: bool) -> list[tuple[float, float]]:
    """Seconds of each in every pair that counts; fewer than `rounds` when the machine was never quiet."""
    ours(), theirs()
    pairs: list[tuple[float, float]] = []
    for turn in range(PATIENCE * rounds):
        if len(pairs) == rounds:
            break
        before, started = clock(), time.perf_counter()
        seconds = {}
        for run in (ours, theirs) if turn % 2 else (theirs, ours):
            began = now()
            run()
            seconds[run] = now() - began
        if not watch or quiet(before, time.perf_counter() - started):
            pairs.append((seconds[ours], seconds[theirs]))
    return pairs


def row_of(pairs: list[tuple[float, float]], tokens: int, rounds: int) -> dict[str, Any]:
    if len(pairs) < rounds:
        return {"ratio": None, "void": f"{len(pairs)} of {rounds} pairs were undisturbed"}
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    middle = len(ratios) // 4
    return {
        "ratio": round(statistics.median(ratios), 3),
        "best": round(min(theirs for _, theirs in pairs) / min(ours for ours, _ in pairs), 3),
        "half_between": [round(ratios[middle], 3), round(ratios[-1 - middle], 3)],
        "ours": round(tokens / statistics.median(ours for ours, _ in pairs)),
        "theirs": round(tokens / statistics.median(theirs for _, theirs in pairs)),
    }


def told(row: dict[str, Any]) -> str:
    name = f"{row['family']:10} {row['dtype']} {row['work']:9}"
    if row["ratio"] is None:
        return f"{name} void: {row['void']}"
    low, high = row["half_between"]
    ratios = f"{row['ratio']:5.2f} ({low:.2f}–{high:.2f}), best {row['best']:.2f}"
    return f"{name} {ratios}  {row['ours']:>7,} against {row['theirs']:>7,} tokens/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--works", default="forward,backward,decode")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()
    wall = arguments.clock == "wall"
    if not wall:
        torch.set_num_threads(1)
    rows = []
    for family in arguments.families.split(","):
        for dtype in arguments.dtypes.split(","):
            pair = make_pair(family, DTYPES[dtype])
            for work, (ours, theirs) in works(pair).items():
                if work not in arguments.works.split(","):
                    continue
                pair.ours.train(work == "backward"), pair.peer.train(work == "backward")
                now = time.perf_counter if wall else time.process_time
                pairs = measure(ours, theirs, arguments.rounds, now, watch=wall)
                tokens = ROWS * (NEW if work == "decode" else LENGTH)
                row = {"family": family, "dtype": dtype, "work": work, **row_of(pairs, tokens, arguments.rounds)}
                rows.append(row)
                print(told(row), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
