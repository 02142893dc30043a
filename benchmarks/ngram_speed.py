"""A 5-gram model with modified Kneser-Ney smoothing: text to a queryable file, loading, and scoring a file.

    python benchmarks/ngram_speed.py TEXT [--rounds 3] [--order 5] [--memory 200MB] [--lmplz DIR] [--peer-lines 20000]

TEXT is one sentence a line. Training and loading run in fresh processes, the compiled kernels in numba's cache; a
first, uncounted round fills it. With `--lmplz DIR`, a folder with KenLM's `lmplz` and `build_binary`, the peer trains
on the same text in alternation. Loading: in a fresh process, after its imports, by the clock. Scoring: `score_lines`,
which `fourfold score FILE --lines` rests on (the file read, words to ids, every line's total), beside the `kenlm` package, line by line on
lines that are in memory, on the same model and `--peer-lines` lines of the middle of the text, one thread each. With
`--memory` counting on disk is timed too, and the two models are compared bit by bit. By the clock and in processor
seconds; peak memory of the process, of it what is not mapped from files; the load of the machine is printed.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = """
import sys
from pathlib import Path
from fourfold.cli.options import parse_bytes
from fourfold.inference import LanguageModel
from fourfold.models.ngram import OnDisk, train_word_ngram
text, out, order, memory = sys.argv[1:]
on_disk = OnDisk(memory=parse_bytes(memory), folder=Path(out).parent) if memory != "-" else None
module, tokenizer = train_word_ngram([Path(text)], int(order), on_disk=on_disk)
LanguageModel(module, tokenizer, text_end_id=tokenizer.eos_id).save(out)
"""


LOAD = """
import sys, time
from fourfold.inference import load
began = time.perf_counter()
load(sys.argv[1])
print(time.perf_counter() - began)
"""


def timed(command: list[str]) -> dict[str, float]:
    """Seconds by the clock, processor seconds, and peak gigabytes of a process: all, and its own."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = {"VmHWM": 0, "RssAnon": 0}
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
        while process.poll() is None:
            for name, found in peaks.items():
                peaks[name] = max(found, kilobytes(process.pid, name))
            time.sleep(0.02)
        clock = time.perf_counter() - began
        if process.returncode:
            told.seek(0)
            raise SystemExit(told.read().decode())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    memory = {"gigabytes": peaks["VmHWM"] / 1e6, "own gigabytes": peaks["RssAnon"] / 1e6}
    return {"clock": clock, "processor": processor, **memory}


def kilobytes(process: int, name: str) -> int:
    """As the system tells them of a process; 0 of one that is gone."""
    try:
        found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{process}/status").read_text("utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def train(text: Path, out: Path, order: int, memory: str | None) -> dict[str, float]:
    return timed([sys.executable, "-c", TRAIN, str(text), str(out), str(order), memory or "-"])


def train_peer(tools: Path, text: Path, out: Path, order: int) -> dict[str, float]:
    count = f"{tools}/lmplz -o {order} --skip_symbols < {text} > {out}.arpa"
    return timed(["sh", "-c", f"{count} && {tools}/build_binary {out}.arpa {out}.bin"])


def score(folder: Path, text: Path, lines: int) -> dict[str, float]:
    """Words a second of one thread, ours and the `kenlm` package's; and the largest difference, log10."""
    import kenlm

    from fourfold.inference import load
    from fourfold.inference.looking_up import score_lines
    from fourfold.models.files import convert

    load_command = [sys.executable, "-c", LOAD, str(folder)]
    loading = statistics.median(float(subprocess.check_output(load_command)) for _ in range(5))
    lm = load(str(folder))
    with text.open(encoding="utf-8") as stream:
        every = [line.strip() for line in stream]
    some = every[len(every) // 2 :][:lines]
    words = sum(len(line.split()) + 1 for line in some)
    part = folder.parent / "lines.txt"
    part.write_text("".join(line + "\n" for line in some), "utf-8")
    convert(folder, folder.parent / "model.arpa")
    peer = kenlm.Model(str(folder.parent / "model.arpa"))
    rates: dict[str, list[float]] = {"ours": [], "kenlm": []}
    for _ in range(5):
        began = time.process_time()
        ours = score_lines(lm.module, lm.tokenizer, part.read_bytes(), lm.device).totals
        rates["ours"].append(words / (time.process_time() - began))
        began = time.process_time()
        theirs = [peer.score(line) for line in some]
        rates["kenlm"].append(words / (time.process_time() - began))
    apart = max(abs(one / 2.302585092994046 - other) for one, other in zip(ours, theirs, strict=True))
    return {name: statistics.median(rate) for name, rate in rates.items()} | {"loading": loading, "apart": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--memory")
    parser.add_argument("--lmplz", type=Path)
    parser.add_argument("--peer-lines", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.text.parent) as place:
        folder = Path(place)
        runs: dict[str, list[dict[str, float]]] = {}
        for number in range(options.rounds + 1):
            found = {"in memory": train(options.text, folder / "ours", options.order, None)}
            if options.memory:
                found["on disk"] = train(options.text, folder / "disk", options.order, options.memory)
                same = filecmp.cmp(folder / "ours" / "model.safetensors", folder / "disk" / "model.safetensors", False)
                print("the model counted on disk is", "the same to the bit" if same else "ANOTHER ONE")
            if options.lmplz:
                found["lmplz + build_binary"] = train_peer(options.lmplz, options.text, folder / "peer", options.order)
            if number:
                for name, run in found.items():
                    runs.setdefault(name, []).append(run)
            print(json.dumps(found), f"load {os.getloadavg()[0]:.1f}", flush=True)
        for name, rows in runs.items():
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            seconds = f"{middle['clock']:.1f} s, {middle['processor']:.1f} s of processor"
            print(f"{name}: {seconds}, {middle['gigabytes']:.2f} GB, of it {middle['own gigabytes']:.2f} not of files")
        if options.peer_lines:
            found = score(folder / "ours", options.text, options.peer_lines)
            print("scoring, words a second:", json.dumps({key: round(value, 7) for key, value in found.items()}))


if __name__ == "__main__":
    main()
