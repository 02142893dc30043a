"""Bytes changed at random: the doctor always ends, in findings and never in an error of its own."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.workflow.doctor import examine
from tests.workflow.doctor.sound import CHATS, PAIRS, make_adapter, make_arpa, make_folder, make_gguf, write_lines

SECONDS = 20.0
"""More than any look at these small files should take on a busy machine."""
VALUES = [b"9", b"-1", b'"', b"{", b"null", b"1e999", b"\xff\xff\xff\xff"]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "repeat", "flip"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=12) | st.sampled_from(VALUES),
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip


def changed(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for how, share, value in edits:
        at = int(share * max(len(data), 1))
        if how == "set":
            data = data[:at] + value + data[at + len(value) :]
        elif how == "cut":
            data = data[:at]
        elif how == "insert":
            data = data[:at] + value + data[at:]
        elif how == "repeat":
            data = data[:at] + data[at : at + 200] + data[at:]
        else:
            data = data[:at] + bytes([data[at] ^ value[0]]) + data[at + 1 :] if data else data
    return data


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    base = make_folder(folder / "folder", layers=2)
    make_adapter(folder / "adapter", make_folder(folder / "deep"))
    make_gguf(folder / "gguf.gguf")
    make_arpa(folder / "arpa.arpa")
    write_lines(folder / "chats.jsonl", CHATS)
    write_lines(folder / "pairs.jsonl", PAIRS)
    assert base.is_dir()
    return folder


FILES = [
    *(f"folder/{name}" for name in ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                                    "tokenizer_config.json")),
    "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "gguf.gguf", "arpa.arpa", "chats.jsonl",
    "pairs.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_it_always_ends_in_findings(name: str, sound: Path, tmp_path: Path) -> None:
    original = (sound / name).read_bytes()
    subject = sound / name.partition("/")[0]
    copy = tmp_path / subject.name
    (shutil.copytree if subject.is_dir() else shutil.copyfile)(subject, copy)
    file = tmp_path / name
    headed = name.endswith((".safetensors", ".gguf"))

    @settings(max_examples=25, deadline=None, derandomize=True, database=None,
              suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
    @given(edits=EDITS, head=st.booleans())
    def run(edits: list[tuple[str, float, bytes]], head: bool) -> None:
        # Half of the blows to a file of weights go to its header, which is a hundredth of it.
        cut = min(len(original), 4000) if headed and head else len(original)
        file.write_bytes(changed(original[:cut], edits) + original[cut:])
        started = time.monotonic()
        data = copy if name.endswith(".jsonl") else None
        report = examine(None if data else str(copy), data)
        assert time.monotonic() - started < SECONDS
        failed = [finding.sentence.en for finding in report.findings if finding.kind.code == "check-failed"]
        assert not failed, failed
        for finding in report.findings:
            assert finding.sentence.en
            assert finding.fix.zh

    run()
