"""Training an LSTM language model: ours in bf16 through the one loop, beside a plain `nn.LSTM` loop in fp32.

    python benchmarks/lstm_speed.py TEXT [--hidden-size 512] [--layers 2] [--steps 60] [--rounds 3] [--clock processor]

TEXT is any file; a byte-level BPE of 8,192 is learnt from it. Both begin with the same weights, read the same rows in
the same order (memory carried from step to step), take the same steps of AdamW with the same clipping, and are then
scored by the same code in fp32 on the last twentieth of the text. Blocks of steps alternate; told are tokens a second
of each, the median of the ratios of blocks, and both losses at the end. By `--clock processor` one thread runs and
only the time the process was given counts, for machines that others use too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models import RecurrentConfig, RecurrentLM, Step
from fourfold.pretraining.corpus import StreamBatches, TokenShards, WindowBatches
from fourfold.tokenizers import train_byte_bpe
from fourfold.training import Carried, LanguageModelling, adamw, choose_precision, constant, train

RATE, HELD_OUT = 2e-3, 20


class Plain(nn.Module):
    """What one writes by hand."""

    def __init__(self, model: RecurrentLM) -> None:
        super().__init__()
        config = model.config
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocabulary_size, size)
        self.cells = nn.LSTM(size, size, config.layers, batch_first=True)
        self.head = nn.Linear(size, config.vocabulary_size, bias=False)
        self.load_state_dict(model.state_dict())

    def forward(self, ids: Tensor, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, memory = self.cells(self.embedding(ids), memory)
        return self.head(output), memory


def plain_steps(model: Plain, batches: StreamBatches, steps: int) -> Iterator[None]:
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.1)
    memory = None
    for index in range(steps):
        (batch,) = batches.at(index)
        optimizer.zero_grad()
        logits, memory = model(batch.ids, memory)
        memory = (memory[0].detach(), memory[1].detach())
        F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield


def our_steps(model: RecurrentLM, batches: StreamBatches, steps: int) -> Iterator[object]:
    carried = Carried(model, batches.batch_size)
    precision = choose_precision("cpu", carried)
    return train(
        carried, LanguageModelling(), batches, adamw(carried, RATE), steps=steps, schedule=constant(RATE),
        precision=precision,
    )  # fmt: skip


def held_out_loss(weights: dict[str, Tensor], config: RecurrentConfig, ids: Tensor) -> float:
    """Nats a token, by our model in fp32 with either side's weights."""
    model = RecurrentLM(config)
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = model.eval().logits(model.hidden(Step(ids=ids[:, :-1])))
        return float(F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--vocabulary-size", type=int, default=8192)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    arguments = parser.parse_args()
    clock: Callable[[], float] = time.perf_counter
    if arguments.clock == "processor":
        torch.set_num_threads(1)
        clock = time.process_time
    text = arguments.text.read_text("utf-8")
    tokenizer = train_byte_bpe([text], arguments.vocabulary_size)
    tokens = np.array(tokenizer.encode_ordinary(text), np.int64)
    cut = len(tokens) - len(tokens) // HELD_OUT
    shards = TokenShards(tokens[:cut], np.array([cut]), {})
    held_out = torch.from_numpy(tokens[cut:])[: 32 * 257].view(32, 257)
    windows = WindowBatches(shards, arguments.batch_size, arguments.context, 0, None)
    batches = StreamBatches(windows)
    config = RecurrentConfig(
        vocabulary_size=tokenizer.vocabulary_size, hidden_size=arguments.hidden_size, layers=arguments.layers,
        tied_embeddings=False,
    )  # fmt: skip
    ours = RecurrentLM(config)
    ours.initialise(torch.Generator().manual_seed(1))
    plain = Plain(ours)
    steps = arguments.steps * arguments.rounds
    sides: dict[str, Iterator[object]] = {
        "plain": plain_steps(plain, batches, steps), "ours": our_steps(ours, batches, steps),
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(arguments.rounds):
        for name in sorted(sides, reverse=bool(round_number % 2)):
            began = clock()
            for _ in range(arguments.steps):
                next(sides[name])
            rate = arguments.steps * arguments.batch_size * arguments.context / (clock() - began)
            rates[name].append(rate)
            print(f"round {round_number + 1} {name}: {rate:,.0f} tokens/s", flush=True)
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["plain"], strict=True))
    middle = {name: f"{statistics.median(found):,.0f}" for name, found in rates.items()}
    print(f"ours {middle['ours']}, plain {middle['plain']} tokens/s, ratio {ratio:.2f}")
    for name, module in (("ours", ours), ("plain", plain)):
        loss = held_out_loss({key: tensor.detach() for key, tensor in module.state_dict().items()}, config, held_out)
        print(f"{name}: held-out loss {loss:.4f} nats a token after {steps} steps")


if __name__ == "__main__":
    main()
