"""Indexing: only what changed, whatever happens to the files, and killed at any instant."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from fourfold.errors import UserError
from fourfold.pretraining.corpus.formats import ReadingLimits
from fourfold.progress import use_sink
from fourfold.utilization.retrieval import (
    IndexLimits,
    ReaderLimits,
    Splitting,
    default_index_folder,
    open_index,
    updating,
)
from fourfold.utilization.retrieval import documents as reading
from fourfold.utilization.retrieval.documents import Outcome
from fourfold.utilization.retrieval.pool import Job, read_apart
from tests.pretraining.corpus.samples import write_pdf


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("apples grow on trees", "utf-8")
    (folder / "sub" / "b.md").write_text("# Bees\n\nbees make honey", "utf-8")
    old = time.time() - 60  # a file written this instant is looked at again
    for path in folder.rglob("*.*"):
        os.utime(path, (old, old))
    return folder


@pytest.fixture
def index(docs, tmp_path):
    return open_index(docs, index_folder=tmp_path / "index")


def texts(index) -> set[str]:
    words = ("apples", "bees", "honey", "pears", "plums", "page")
    return {hit.passage.text for word in words for hit in index.search(word, 1000)}


def reasons(report) -> dict[str, str]:
    return {name: skipped.reason for skipped in report.skipped for name in skipped.examples}


def test_only_what_changed_is_read_again(docs, index, monkeypatch):
    report = index.update()
    assert (report.read, report.unchanged, report.removed, report.passages) == (2, 0, 0, 2)
    assert report.bytes == sum(path.stat().st_size for path in docs.rglob("*.*"))
    (docs / "a.txt").write_text("pears", "utf-8")
    read = []
    before = updating.read_here

    def read_here(jobs, *rest):
        read.extend(job.path.name for job in jobs)
        return before(jobs, *rest)

    monkeypatch.setattr(updating, "read_here", read_here)
    report = index.update()
    assert (report.read, report.unchanged, read) == (1, 1, ["a.txt"])
    assert texts(index) == {"pears", "# Bees\n\nbees make honey"}
    (docs / "sub" / "b.md").unlink()
    os.utime(docs / "a.txt")  # touched, not changed
    report = index.update()
    assert (report.read, report.unchanged, report.removed, read) == (0, 1, 1, ["a.txt"])
    assert texts(index) == {"pears"}


def test_a_change_within_the_same_time_stamp_is_seen(docs, index):
    index.update()
    path = docs / "a.txt"
    path.write_text("plums", "utf-8")
    index.update()
    stamp = path.stat().st_mtime_ns
    path.write_text("pears", "utf-8")
    os.utime(path, ns=(stamp, stamp))
    index.update()
    assert "pears" in texts(index)


def test_what_it_may_cost_is_said_first(docs, index):
    said = []

    class Sink:
        start = stop = advance = lambda self, *_: self

        def say(self, text):
            said.append(text)

    with use_sink(Sink()):
        index.update()
    assert said[0].startswith("2 files to read (0.0 MB), with at most")
    assert re.search(r" [\d.]+ GB of memory and [\d.]+ GB of disk; ", said[0])
    assert said[0].endswith(f"the index is in {index.index_folder}")


def test_links_vanished_and_forbidden_files(docs, index, tmp_path, monkeypatch):
    (tmp_path / "secret.txt").write_text("secret pears", "utf-8")
    (tmp_path / "other").mkdir()
    (docs / "out.txt").symlink_to(tmp_path / "secret.txt")
    (docs / "in.txt").symlink_to(docs / "a.txt")
    (docs / "folder").symlink_to(tmp_path / "other")
    (docs / "loop").symlink_to(docs)
    (docs / ".hidden.txt").write_text("hidden pears", "utf-8")
    (docs / "gone.txt").write_text("gone pears", "utf-8")
    before = reading.read_sections

    def read(path, limits):
        if path.name == "gone.txt":
            path.unlink()
        return before(path, limits)

    monkeypatch.setattr(reading, "read_sections", read)
    report = index.update()
    assert reasons(report) == {
        "out.txt": "a link out of the folder",
        "in.txt": "a link to a file that is read where it stands",
        "folder": "a link to a folder, not followed",
        "loop": "a link to a folder, not followed",
        "gone.txt": "vanished while it was being read",
    }
    assert texts(index) == {"apples grow on trees", "# Bees\n\nbees make honey"}


def test_refusals_are_remembered_and_counted(docs, index):
    for number in range(5):
        write_pdf(docs / f"scan{number}.pdf", [""])
    write_pdf(docs / "good.pdf", ["page one", "page two"])
    (docs / "x.png").write_bytes(b"\x89PNG\0\0")
    report = index.update()
    assert [(one.count, one.extension, one.reason) for one in report.skipped] == [
        (5, ".pdf", "holds no text (a scan?)"), (1, ".png", "no reader for this extension")
    ]  # fmt: skip
    assert "5 .pdf: holds no text (a scan?) (scan0.pdf, scan1.pdf, scan2.pdf, …)" in str(report)
    assert {hit.passage.place for hit in index.search("page")} == {"page 1", "page 2"}
    again = index.update()
    assert (again.read, again.skipped) == (0, report.skipped)


def test_names_that_are_no_text(docs, index):
    """A file name that is not UTF-8, an attachment whose name is none either."""
    (docs / os.fsdecode(b"pears\xff.txt")).write_text("pears", "utf-8")
    mail = (
        b'Subject: plums\xe9\nContent-Type: multipart/mixed; boundary="b"\n\n'
        b"--b\nContent-Type: text/plain\n\nplums\n"
        b'--b\nContent-Type: text/plain; name="\xe9.txt"\nContent-Disposition: attachment; filename="\xe9.txt"\n\n'
        b"plums\n"
        b"--b--\n"
    )
    (docs / "m.eml").write_bytes(mail)
    report = index.update()
    assert report.read == 4
    assert index.search("pears")[0].passage.source == "pears\\udcff.txt"
    assert len(index.search("plums")) == 2
    assert index.update().plan.files == 0


def test_another_process_sees_each_step(docs, index, tmp_path):
    index.update()
    other = open_index(docs, index_folder=tmp_path / "index")
    (docs / "c.txt").write_text("pears", "utf-8")
    (docs / "a.txt").unlink()
    index.update()
    assert texts(other) == {"pears", "# Bees\n\nbees make honey"}


def test_a_long_line_is_cut(docs, index):
    (docs / "long.txt").write_text("pears " * 500_000, "utf-8")
    report = index.update()
    assert report.read == 3
    assert all(len(hit.passage.text) <= 1200 for hit in index.search("pears", 50))


@pytest.mark.skipif(sys.platform != "linux", reason="readers fork on Linux only")
def test_a_reader_that_dies_hangs_or_takes_too_much_costs_one_file(docs, tmp_path, monkeypatch):
    before = reading.read_sections

    def read(path, limits):
        if path.stem == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if path.stem == "hang":
            time.sleep(60)
        if path.stem == "large":
            bytearray(2**30)
        yield from before(path, limits)

    monkeypatch.setattr(reading, "read_sections", read)
    monkeypatch.setattr(updating, "_FEW_BYTES", -1)
    for name in ("crash", "hang", "large", "y", "z"):
        (docs / f"{name}.txt").write_text(f"{name} pears", "utf-8")
    limits = IndexLimits(readers=ReaderLimits(seconds=1.5, memory=512 * 2**20))
    index = open_index(docs, index_folder=tmp_path / "index", limits=limits)
    report = index.update()
    assert reasons(report)["crash.txt"] == "its reader crashed"
    assert reasons(report)["hang.txt"] == "took longer than 2 s"
    assert reasons(report)["large.txt"] == "needs more memory than a reader may take"
    assert report.read == 4
    assert {"y pears", "z pears"} <= texts(index)


def test_damaged_pdfs_end_one_way_or_another(tmp_path):
    """PDFium is not ours and reads what may be made to break it: in a process of its own, whatever it does."""
    rng = random.Random(4)
    jobs = []
    for number in range(60):
        path = write_pdf(tmp_path / f"{number}.pdf", ["some text", "more text"])
        data = bytearray(path.read_bytes())
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        jobs.append(Job(number, path, len(data)))
    answers = list(read_apart(jobs, ReadingLimits(), Splitting(), ReaderLimits(seconds=20)))
    ended = [number for number, answer in answers if isinstance(answer, Outcome)]
    assert sorted(ended) == list(range(60))
    assert len(answers) > 60  # some can still be read


def test_readers_apart_give_what_one_process_gives(docs, tmp_path, monkeypatch):
    rng = random.Random(2)
    for number in range(80):
        text = "\n\n".join(" ".join(rng.choices(["apples", "pears", "梅子", "bees"], k=90)) for _ in range(number))
        (docs / f"{number}.md").write_text(f"# {number}\n\n{text}\n\nend", "utf-8")
    here = open_index(docs, index_folder=tmp_path / "here")
    here.update()
    monkeypatch.setattr(updating, "_FEW_BYTES", -1)
    apart = open_index(docs, index_folder=tmp_path / "apart")
    apart.update()
    assert len(here) == len(apart) > 200
    for question in ("apples", "梅子", "bees end"):
        assert here.search(question, 30) == apart.search(question, 30)


def test_the_disk_limit_leaves_the_rest_out(docs, tmp_path):
    for number in range(40):
        (docs / f"{number}.txt").write_text(f"pears {number} " * 4000, "utf-8")
    index = open_index(docs, index_folder=tmp_path / "index", limits=IndexLimits(disk=600_000))
    report = index.update()
    assert 0 < report.read < 42
    assert sum(one.count for one in report.skipped) == 42 - report.read
    assert {one.reason for one in report.skipped} == {"the index has reached its limit of 0.0 GB"}
    assert open_index(docs, index_folder=tmp_path / "index").update().read == 42 - report.read


def test_new_limits_and_new_splitting_read_again_what_they_bear_on(docs, index, tmp_path):
    (docs / "x.bin").write_bytes(b"\0\1")
    index.update()
    patient = open_index(docs, index_folder=tmp_path / "index", limits=IndexLimits(readers=ReaderLimits(seconds=99)))
    report = patient.update()
    assert (report.unchanged, report.plan.files) == (2, 1)


def test_default_folder_is_in_the_cache_and_never_among_the_documents(docs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_index_folder(docs).parent == tmp_path / "cache" / "fourfold" / "documents"
    assert default_index_folder(docs) != default_index_folder(docs / "sub")
    before = sorted(docs.rglob("*"))
    index = open_index(docs)
    index.update()
    assert sorted(docs.rglob("*")) == before
    assert index.index_folder.stat().st_mode & 0o077 == 0


def test_an_index_asked_for_among_the_documents_does_not_read_itself(docs):
    index = open_index(docs, index_folder=docs / "index")
    index.update()
    assert index.update().plan.files == 0
    assert index.update().skipped == ()


def test_a_folder_that_is_none_and_an_index_that_is_none(docs, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        open_index(tmp_path / "absent")
    with pytest.raises(UserError, match="a file, not a folder"):
        open_index(docs / "a.txt")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "index.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match="not an index of ours, or a damaged one"):
        open_index(docs, index_folder=tmp_path / "bad")


def test_one_process_updates_at_a_time(docs, index, tmp_path):
    from fourfold.files import lock_folder

    with lock_folder(tmp_path / "index"), pytest.raises(UserError, match="another process"):
        index.update()


INDEXING = """
import sys
from fourfold.utilization.retrieval import open_index, updating
updating._SEGMENT_TEXT = 50_000
updating._FEW_BYTES = int(sys.argv[3])
print("ready", flush=True)
open_index(sys.argv[1], index_folder=sys.argv[2]).update()
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_any_instant_it_goes_on(docs, tmp_path):
    """Killed again and again, later each time, then let run: as if nothing had happened."""
    rng = random.Random(3)
    for number in range(60):
        text = "\n\n".join(" ".join(rng.choices(["apples", "pears", "bees", "honey"], k=80)) for _ in range(30))
        (docs / f"{number}.txt").write_text(f"{number}\n\n{text}", "utf-8")
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3):
        few = -1 if delay > 0.1 else 2**30  # bytes up to which no reader processes are started
        command = [sys.executable, "-c", INDEXING, str(docs), str(tmp_path / "index"), str(few)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        with open_index(docs, index_folder=tmp_path / "index") as index:
            assert all(index.passage(hit.passage.id) == hit.passage for hit in index.search("pears", 50))
    with open_index(docs, index_folder=tmp_path / "index") as killed:
        killed.update()
        whole = open_index(docs, index_folder=tmp_path / "whole")
        whole.update()
        assert len(killed) == len(whole)
        for question in ("apples", "bees honey", "59"):
            assert killed.search(question, 40) == whole.search(question, 40)
