"""What it takes to index a folder of mixed real documents, and to ask it.

    python benchmarks/ask_index.py FOLDER … [--work DIR] [--megabytes 300] [--questions 200] [--peer]

FOLDERs hold real documents (on Debian: /usr/share/doc after `apt-get install python3-doc debian-handbook anarchism
debian-reference-zh-cn linuxcnc-doc-zh-cn texlive-latex-base-doc …`). Their readable files are linked into one folder up
to the wanted size, a share of each folder. Office files and mails are rare there: `--office N` makes N of each of DOCX,
XLSX, PPTX and EML out of HTML pages. Questions are sentences from the documents, every second word left out, so that
there is something to find.

Printed: documents and megabytes a second of the clock and of processor time (which other work on the machine leaves
alone); peak memory of all processes; disk; time to find nothing changed; time after one file changed; latency of a
search, median and 95th percentile. `--peer` gives the same
passages to bm25s: the time and memory of its index, which has to be made anew for any change.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fourfold.kernels import hash_term
from fourfold.pretraining.corpus import decode, html_to_text
from fourfold.utilization.retrieval import DocumentIndex, open_index, terms_of

MEGABYTE = 1e6
KINDS = {".html", ".txt", ".md", ".pdf", ".docx", ".xlsx", ".pptx", ".eml", ".gz", ".tex", ".rst"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("ask-benchmark"), help="made, and removed at the end")
    parser.add_argument("--megabytes", type=float, default=300.0)
    parser.add_argument("--office", type=int, default=0, help="made files of each Office kind and of mail")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--peer", action="store_true", help="bm25s on the same passages")
    options = parser.parse_args()
    documents = options.work / "documents"
    documents.mkdir(parents=True)
    try:
        gather(options.folders, documents, options.megabytes * MEGABYTE)
        make_office(documents, options.office)
        index = open_index(documents, index_folder=options.work / "index")
        measure_indexing(index)
        questions = list(ask_back(index, options.questions))
        measure_search(index, questions)
        if options.peer:
            measure_peer(index)
    finally:
        shutil.rmtree(options.work)


def gather(folders: Sequence[Path], documents: Path, size: float) -> None:
    """Hard links (or copies) to readable files, each folder the same share, large and small as they come."""
    for number, folder in enumerate(folders):
        files = [path for path in folder.rglob("*") if path.suffix.lower() in KINDS and path.is_file() and not path.is_symlink()]
        random.Random(0).shuffle(files)
        taken = 0
        for path in files:
            taken += path.stat().st_size
            if taken > size / len(folders):
                break
            target = documents / str(number) / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)


def make_office(documents: Path, count: int) -> None:
    """Office files and mails out of HTML pages: their text is real, their form is ours."""
    from email.message import EmailMessage

    import docx
    import openpyxl
    import pptx

    pages = sorted(path for path in documents.rglob("*.html") if path.stat().st_size > 20_000)
    random.Random(1).shuffle(pages)
    for number, page in enumerate(pages[:count]):
        lines = [line for line in html_to_text(decode(page.read_bytes()).text).splitlines() if line.strip()]
        lines = [re.sub(r"[\x00-\x1f]", " ", line) for line in lines]
        document = docx.Document()
        for line in lines:
            document.add_paragraph(line)
        document.save(str(documents / f"{number}.docx"))
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("Text")
        for row, line in enumerate(lines):
            sheet.append([row, *re.sub("^=", " =", line)[:30_000].split(" ")[:30]])
        book.save(documents / f"{number}.xlsx")
        deck = pptx.Presentation()
        for at in range(0, min(len(lines), 400), 8):
            slide = deck.slides.add_slide(deck.slide_layouts[1])
            slide.shapes.title.text = lines[at][:80]
            slide.placeholders[1].text = "\n".join(lines[at : at + 8])
        deck.save(str(documents / f"{number}.pptx"))
        mail = EmailMessage()
        mail["From"], mail["Subject"] = "author@example.org", lines[0][:60]
        mail.set_content("\n".join(lines))
        mail.add_attachment(page.read_bytes(), maintype="text", subtype="html", filename=page.name)
        (documents / f"{number}.eml").write_bytes(mail.as_bytes())


def measure_indexing(index: DocumentIndex) -> None:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for path in index.folder.rglob("*"):
        if path.is_file():
            sizes[path.suffix.lower()] += path.stat().st_size
            counts[path.suffix.lower()] += 1
    kinds = ", ".join(f"{counts[kind]} {kind} {size / MEGABYTE:.1f} MB" for kind, size in sizes.most_common())
    print(f"{sum(counts.values())} files, {sum(sizes.values()) / MEGABYTE:.1f} MB: {kinds}", flush=True)
    before = processor_seconds()
    with PeakMemory() as peak:
        report = index.update()
    spent = processor_seconds() - before
    print(report)
    rate = report.bytes / MEGABYTE / report.seconds
    each = report.bytes / MEGABYTE / spent
    print(f"{spent:.1f} s of processor time, {each:.1f} MB in each; load average {os.getloadavg()[0]:.1f}")
    disk = sum(path.stat().st_size for path in index.index_folder.iterdir()) / MEGABYTE
    print(f"{report.read / report.seconds:.0f} documents/s, {rate:.1f} MB/s, peak memory {peak.most / MEGABYTE:.0f} MB")
    print(f"disk {disk:.0f} MB; bound stated: {report.plan}")
    print(f"nothing changed: {index.update().seconds:.2f} s")
    page = next(index.folder.rglob("*.html"))
    text = page.read_bytes()
    page.unlink()  # it is a hard link to the user's own file
    page.write_bytes(text + b"<p>One more sentence.</p>")
    changed = index.update()
    print(f"one file changed: {changed.seconds:.2f} s ({changed.read} read)")


def ask_back(index: DocumentIndex, count: int) -> Iterator[str]:
    """Every second word (or pair of characters) of a passage's beginning."""
    rng = random.Random(2)
    numbers = np.concatenate([np.flatnonzero(segment.alive) + segment.first for segment in index._segments])
    for passage in index._store.passages(rng.sample(numbers.tolist(), count)):
        words = re.findall(r"[A-Za-z]{3,}|[\u4e00-\u9fff]{2}", passage.text)[:16]
        yield " ".join(words[::2])


def measure_search(index: DocumentIndex, questions: Sequence[str]) -> None:
    with open_index(index.folder, index_folder=index.index_folder) as opened:
        opened.search(questions[0])
        times, used = [], time.process_time()
        for question in questions:
            started = time.perf_counter()
            opened.search(question)
            times.append(1000 * (time.perf_counter() - started))
        used = 1000 * (time.process_time() - used) / len(questions)
    started = time.perf_counter()
    open_index(index.folder, index_folder=index.index_folder).search(questions[0])
    first = 1000 * (time.perf_counter() - started)
    print(f"search over {len(index)} passages: p50 {np.quantile(times, 0.5):.1f} ms, p95 {np.quantile(times, 0.95):.1f}"
          f" ms, {used:.1f} ms of processor time; opening and the first search {first:.0f} ms")  # fmt: skip


def measure_peer(index: DocumentIndex) -> None:
    import bm25s

    rows = index._store._db.execute("SELECT heading || char(10) || text FROM passages")
    tokens = [terms_of(text) for (text,) in rows]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    bm25s.BM25(method="lucene").index(tokens, show_progress=False)
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MEGABYTE
    print(f"bm25s: {seconds:.1f} s to index the same tokens of {len(tokens)} passages, after they are made;"
          f" {grown:.0f} MB more at its peak")  # fmt: skip
    vocabulary = {hash_term(term) for text in tokens[:20000] for term in text}
    print(f"({len(vocabulary)} distinct terms in the first 20,000)")


def processor_seconds() -> float:
    """Of this process and its ended children."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class PeakMemory:
    """The most resident memory that this process and its children had together, looked at twice a second.

    Pages that a fork shares with its parent are counted once: what a child adds is its private memory.
    """

    def __enter__(self) -> PeakMemory:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()
            own = _field(Path("/proc/self/smaps_rollup"), "Rss")
            private = sum(_field(Path(f"/proc/{child}/smaps_rollup"), "Private_Dirty") for child in children)
            self.most = max(self.most, own + private)


def _field(path: Path, name: str) -> int:
    try:
        match = re.search(rf"^{name}: *(\d+)", path.read_text("ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0


if __name__ == "__main__":
    main()
