import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fourfold.errors import UserError
from fourfold.files import hash_file
from fourfold.training.stored import Piece, StoredTensors

WHOLE = torch.arange(35.0).reshape(7, 5)


def stored(folder, cuts):
    """The whole in one file for each stretch of rows."""
    parts = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 7], strict=True)):
        file = folder / f"{number}.safetensors"
        save_file({"a": WHOLE[start:end].contiguous()}, file)
        box = [list(WHOLE.shape), [start, 0], [end - start, 5]]
        parts.append({"file": file.name, "sha256": hash_file(file), "tensors": {"a": box}})
    return parts


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 6), unique=True, max_size=3).map(sorted),
    box=st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 7), st.integers(1, 5)),
)
def test_any_box_comes_from_any_pieces(tmp_path_factory, cuts, box):
    folder = tmp_path_factory.mktemp("stored")
    first, left, rows, columns = box
    wanted = Piece((7, 5), (first, left), (min(rows, 7 - first), min(columns, 5 - left)))
    found = StoredTensors(folder, stored(folder, cuts)).read("a", wanted)
    assert torch.equal(found, WHOLE[wanted.slices])


def test_numbers_that_nobody_wrote_are_missed(tmp_path):
    tensors = StoredTensors(tmp_path, stored(tmp_path, [3])[:1])
    assert torch.equal(tensors.read("a", Piece((7, 5), (0, 0), (3, 5))), WHOLE[:3])
    with pytest.raises(UserError, match="15 of 35 numbers of 'a' are stored"):
        tensors.read("a")


def test_a_file_that_is_missing_or_elsewhere(tmp_path):
    parts = stored(tmp_path, [3])
    (tmp_path / "1.safetensors").unlink()
    with pytest.raises(UserError, match=r"1\.safetensors: a file is missing"):
        StoredTensors(tmp_path, parts).read("a")
    outside = [dict(parts[0], file="../0.safetensors")]
    with pytest.raises(UserError, match="a file is missing"):
        StoredTensors(tmp_path / "inner", outside).read("a")
