"""Damaged and made-up files: both readers load them or raise a UserError, in little memory, whatever the bytes."""

import json
import struct
import sys

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.models import TransformerLM
from fourfold.models.files import load_gguf, load_model, read_gguf, save_gguf, save_model
from fourfold.models.files.tensors import read_tensors, write_tensors
from fourfold.models.transformer import Attention, FeedForward, TransformerConfig
from fourfold.tokenizers import byte_tokenizer, from_gguf

CASES = 1000
ROOM = 1 << 28
"""Bytes of address space a reader may take beyond what the process has."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by setrlimit")
SETTINGS = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NUMBERS = st.sampled_from(
    [0, 1, 2, 7, 31, 255, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 1]
)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("byte"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("number"), st.floats(0, 1), NUMBERS),
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("drop"), st.floats(0, 1), st.integers(1, 40)),
        st.tuples(st.just("double"), st.floats(0, 1), st.integers(1, 40)),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


@pytest.fixture(autouse=True)
def bounded_memory():
    """A reader that takes more than `ROOM` gets a MemoryError, which is no UserError."""
    import resource

    with open("/proc/self/statm") as pages:
        used = int(pages.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def edited(content, edits, header):
    """Half of the edits fall on the header, where the counts are."""
    content = bytearray(content)
    for index, (kind, place, value) in enumerate(edits):
        end = min(header, len(content)) if index % 2 == 0 else len(content)
        at = min(int(place * end), max(len(content) - 1, 0))
        if kind == "byte" and content:
            content[at] = value
        elif kind == "number":
            content[at : at + 8] = struct.pack("<Q", value)
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + value]
        elif kind == "double":
            content[at:at] = content[at : at + value]
    return bytes(content)


def tiny():
    model = TransformerLM(
        TransformerConfig(
            vocabulary_size=260,
            hidden_size=32,
            layers=1,
            context=16,
            attention=Attention(heads=2),
            feed_forward=FeedForward(size=32),
        )
    )
    model.initialise(torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def gguf_bytes(folder):
    save_gguf(tiny(), byte_tokenizer(), folder / "whole.gguf", "q8_0")
    return (folder / "whole.gguf").read_bytes()


@pytest.fixture(scope="module")
def safetensors_bytes(folder):
    write_tensors(
        folder / "whole.safetensors", {"a": torch.ones(3, 5), "b": torch.ones(7).bfloat16(), "c": torch.ones(())}
    )
    return (folder / "whole.safetensors").read_bytes()


def told(read, path, content):
    """What a reader says against a file; any other error than a UserError passes through."""
    path.write_bytes(content)
    try:
        read(path)
    except UserError as error:
        return str(error)
    return ""


def read_everything(path):
    file = read_gguf(path)
    for name in file.tensors:
        file.tensor(name)
    from_gguf(file.metadata)


@SETTINGS
@given(edits=EDITS)
def test_damaged_gguf(folder, gguf_bytes, edits):
    assert len(told(read_everything, folder / "x.gguf", edited(gguf_bytes, edits, 600))) < 1000


@SETTINGS
@given(edits=EDITS)
def test_damaged_gguf_models(folder, gguf_bytes, edits):
    assert len(told(load_gguf, folder / "x.gguf", edited(gguf_bytes, edits, 600))) < 4000


@SETTINGS
@given(head=st.sampled_from([b"", b"GGUF", b"GGUF" + struct.pack("<I", 3), b"GGUF" + struct.pack("<IQQ", 3, 1, 1)]),
       numbers=st.lists(NUMBERS, max_size=6), rest=st.binary(max_size=200))  # fmt: skip
def test_made_up_gguf(folder, head, numbers, rest):
    content = head + struct.pack(f"<{len(numbers)}Q", *numbers) + rest
    assert len(told(read_everything, folder / "x.gguf", content)) < 1000


@SETTINGS
@given(edits=EDITS)
def test_damaged_safetensors(folder, safetensors_bytes, edits):
    assert len(told(read_tensors, folder / "x.safetensors", edited(safetensors_bytes, edits, 300))) < 1000


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), NUMBERS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "a", "__metadata__"]), inner, max_size=4),
    ),
    max_leaves=8,
)


@SETTINGS
@given(value=JSON, length=st.one_of(st.none(), NUMBERS), rest=st.binary(max_size=64))
def test_made_up_safetensors(folder, value, length, rest):
    header = json.dumps(value).encode()
    size = struct.pack("<Q", len(header) if length is None else length)
    assert len(told(read_tensors, folder / "x.safetensors", size + header + rest)) < 1000


# ---- one by one: what the issue names


@pytest.mark.parametrize("claimed", [100_000_000, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("there", [0, 120_000_000])
def test_a_header_of_a_hundred_megabytes_is_refused(folder, claimed, there):
    path = folder / "big.safetensors"
    with open(path, "wb") as stream:
        stream.write(struct.pack("<Q", claimed) + b'{"a":')
        stream.truncate(max(there, stream.tell()))  # a file of holes
    with pytest.raises(UserError, match=r"big\.safetensors"):
        read_tensors(path)


def test_an_index_that_names_a_missing_file_is_refused(tmp_path):
    save_model(tiny(), tmp_path)
    names = list(read_tensors(tmp_path / "model.safetensors"))
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00002.safetensors")
    places = dict.fromkeys(names, "model-00001-of-00002.safetensors") | {names[0]: "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors"):
        load_model(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(folder, gguf_bytes, safetensors_bytes, share):
    for name, content, read in (
        ("x.gguf", gguf_bytes, load_gguf),
        ("x.safetensors", safetensors_bytes, read_tensors),
    ):
        (folder / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=r"truncated|damaged|more than the file can hold"):
            read(folder / name)
