"""Memory that conversion takes, measured in a process of its own on a made-up checkpoint of a gigabyte and more.

    python benchmarks/gguf_memory.py [--layers 12]

Of a process' memory only what is its own is counted (the anonymous part): pages of a mapped file belong to the file,
and the system takes them back at need.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import torch

SOURCE = {"vocabulary_size": 32_000, "hidden_size": 2048, "feed_forward_size": 5504}


def make(folder: Path, layers: int) -> None:
    """A llama of random bf16 weights, written tensor by tensor."""
    from collections.abc import Mapping

    from fourfold.models.files.folder import make_empty, own_tensors
    from fourfold.models.files.streaming import stream_folder
    from fourfold.models.transformer import Attention, FeedForward, Head, TransformerConfig
    from fourfold.tokenizers import byte_tokenizer

    config = TransformerConfig(
        vocabulary_size=SOURCE["vocabulary_size"],
        hidden_size=SOURCE["hidden_size"],
        layers=layers,
        context=2048,
        attention=Attention(heads=16),
        feed_forward=FeedForward(size=SOURCE["feed_forward_size"]),
        head=Head(tied=False),
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in own_tensors(make_empty(config)).items()}

    class Random(Mapping[str, torch.Tensor]):
        def __getitem__(self, name: str) -> torch.Tensor:
            return torch.empty(shapes[name], dtype=torch.bfloat16).normal_(std=0.02)

        def __iter__(self):
            return iter(shapes)

        def __len__(self) -> int:
            return len(shapes)

    stream_folder(config, Random(), folder, torch.bfloat16)
    byte_tokenizer().save(folder)


def own_memory() -> int:
    """Bytes of this process that belong to no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell a process' own memory")


def measure(source: str, target: str, to: str, kind: str | None, answer: multiprocessing.Queue) -> None:
    from fourfold.models.files import convert

    torch.set_num_threads(1)
    start, peak, done = own_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    convert(source, target, to, kind)
    seconds = time.monotonic() - began
    done.set()
    watcher.join()
    answer.put((peak - start, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    largest = SOURCE["vocabulary_size"] * SOURCE["hidden_size"] * 4
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder / "hf", options.layers)
        steps = [("hf", "gguf", "q4_k"), ("hf", "gguf", "f32"), ("gguf-q4_k.gguf", "hf", "bf16"), ("hf", "hf", "f32")]
        for source, to, kind in steps:
            target = folder / (f"{to}-{kind}.gguf" if to == "gguf" else f"{to}-{kind}-of-{source}")
            answer = context.Queue()
            process = context.Process(target=measure, args=(str(folder / source), str(target), to, kind, answer))
            process.start()
            peak, seconds = answer.get()
            process.join()
            files = [folder / source] if source.endswith(".gguf") else list((folder / source).glob("*.safetensors"))
            row = {
                "from": source,
                "to": f"{to} {kind}",
                "source_mb": round(sum(file.stat().st_size for file in files) / 1e6),
                "peak_mb": round(peak / 1e6),
                "of_largest_tensor_in_fp32": round(peak / largest, 2),
                "seconds": round(seconds, 1),
            }
            print(json.dumps(row), flush=True)
            if to == "hf" or kind == "f32":
                for file in [target] if target.is_file() else target.iterdir():
                    file.unlink()


if __name__ == "__main__":
    main()
