"""The GGUF reader: exact numbers, and every damaged file refused with a sentence."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.models.files import read_gguf
from fourfold.models.files.gguf_blocks import F32, Q8_0
from fourfold.models.files.gguf_writer import TensorPlan, write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10000.0,
    "a.flag": True,
    "a.big": 1 << 40,
    "a.list": ["x", "ÿ", "你"],
    "a.types": [1, 2, 3],
    "a.scores": [0.5, -1.0],
}


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 64), "b": (5,), "c": (2, 32)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def written(path, tensors, kind=F32):
    plans = [TensorPlan(n, tuple(t.shape), kind if t.dim() > 1 else F32, lambda t=t: t) for n, t in tensors.items()]
    write_gguf(path, METADATA, plans)
    return path


def test_writes_and_reads_back(tmp_path, tensors):
    file = read_gguf(written(tmp_path / "x.gguf", tensors))
    assert file.metadata == METADATA
    assert file.architecture == "llama"
    assert file.get("block_count") == 2
    for name, tensor in tensors.items():
        assert torch.equal(file.tensor(name), tensor)


def test_the_gguf_package_reads_what_we_write(tmp_path, tensors):
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(written(tmp_path / "x.gguf", tensors, Q8_0))
    assert reader.fields["a.list"].contents() == METADATA["a.list"]
    for tensor in reader.tensors:
        ours = read_gguf(tmp_path / "x.gguf").tensor(tensor.name).numpy()
        theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(ours, theirs)


def test_truncated_anywhere_is_a_user_error(tmp_path, tensors):
    whole = written(tmp_path / "x.gguf", tensors).read_bytes()
    data_end = len(whole) - 96  # the last tensor takes 256 bytes, so every cut below loses something
    for cut in [*range(0, 700, 13), data_end, len(whole) - 40]:
        (tmp_path / "cut.gguf").write_bytes(whole[:cut])
        with pytest.raises(UserError):
            read_gguf(tmp_path / "cut.gguf")


def test_truncation_is_told_in_one_sentence(tmp_path, tensors):
    whole = written(tmp_path / "x.gguf", tensors).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"truncated: tensor 'c' ends after the file, expected \d+ bytes, got \d+"):
        read_gguf(tmp_path / "cut.gguf")


def header(version=3, tensors=0, pairs=0, rest=b""):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest


def key(name, kind, rest):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + rest


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GGUX" + b"\0" * 60, "not a GGUF file"),
        (header(version=1, rest=b"\0" * 32), "version 1"),
        (header(version=3 << 24, rest=b"\0" * 32), "big-endian"),
        (header(tensors=1 << 62, rest=b"\0" * 32), "claims 4611686018427387904 tensors"),
        (header(pairs=1 << 50, rest=b"\0" * 32), "metadata entries"),
        (header(pairs=1, rest=struct.pack("<Q", 1 << 60) + b"\0" * 30), "truncated"),
        (header(pairs=1, rest=key("k", 9, struct.pack("<IQ", 8, 1 << 40)) + b"\0" * 16), "strings in 'k'"),
        (header(pairs=1, rest=key("k", 9, struct.pack("<IQ", 0, 1 << 40)) + b"\0" * 16), "values in 'k'"),
        (header(pairs=1, rest=key("k", 9, struct.pack("<IQ", 9, 1)) + b"\0" * 16), "unsupported type"),
        (header(pairs=1, rest=key("k", 77, b"\0" * 16)), "unknown type"),
        (header(pairs=1, rest=key("general.alignment", 4, struct.pack("<I", 3)) + b"\0" * 16), "power of two"),
        (header(tensors=1, rest=struct.pack("<Q1sI", 1, b"t", 1000) + b"\0" * 64), "absurd shape"),
        (header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 33, 8, 0) + b"\0" * 64), "impossible shape"),
        (header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 32, 999, 0) + b"\0" * 64), "quantization"),
        (header(tensors=1, rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 1 << 60, 0, 0) + b"\0" * 64), "truncated"),
    ],
)
def test_absurd_headers_are_refused(tmp_path, content, told):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_gguf(tmp_path / "x.gguf")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_escapes_as_another_error(tmp_path, data):
    """Bytes changed at random: the file loads or is refused, nothing else happens."""
    tensors = {"a": torch.ones(2, 32)}
    content = bytearray(written(tmp_path / "fuzz.gguf", tensors).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzzed.gguf"
    path.write_bytes(bytes(content))
    try:
        file = read_gguf(path)
        for name in file.tensors:
            file.tensor(name)
    except UserError:
        pass
