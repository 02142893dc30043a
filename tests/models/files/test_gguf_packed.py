"""GGUF files that stay packed, against the same file unpacked."""

from __future__ import annotations

import pytest
import torch

from fourfold.errors import UserError
from fourfold.kernels import dense
from fourfold.models.files import load_gguf, read_gguf, save_gguf, stays_packed
from fourfold.models.files.gguf_blocks import FORMATS, Q4_0, Q4_1, Q4_K, Q5_0, Q5_K, Q6_K, Q8_0, dequantize
from fourfold.models.files.gguf_packed import PACKED, pack_rows
from fourfold.models.linear import make_dense
from fourfold.models.transformer import Head
from fourfold.tokenizers import byte_tokenizer
from tests.models.files.test_gguf_model import IDS, made

SCALES_AT = {Q4_0: [0], Q4_1: [0, 2], Q5_0: [0], Q8_0: [0], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208]}
"""Where a block of each type has its fp16 numbers."""
ROUNDED = (Q4_K, Q5_K, Q6_K)


def blocks(kind: int, rows: int, columns: int) -> torch.Tensor:
    """(rows, bytes) of random codes with sensible scales."""
    numbers = torch.Generator().manual_seed(kind)
    form = FORMATS[kind]
    raw = torch.randint(0, 256, (rows * columns // form.values, form.bytes), generator=numbers).to(torch.uint8)
    for at in SCALES_AT[kind]:
        scales = (torch.randn(len(raw), 1, generator=numbers) / 50).half()
        raw[:, at : at + 2] = scales.view(torch.uint8)
    return raw.view(rows, -1)


@pytest.mark.parametrize("kind", PACKED)
def test_every_type_stands_for_the_same_numbers(kind: int) -> None:
    raw = blocks(kind, 40, 512)
    matrix = pack_rows(raw, kind, 512)
    assert matrix is not None
    wanted = dequantize(raw.reshape(-1), kind).view(40, 512)
    if kind not in ROUNDED:
        # Of Q4_0 code and -8 meet after the scale: one rounding more.
        assert torch.allclose(dense(matrix), wanted, rtol=0, atol=1e-6 if kind == Q4_0 else 0)
        return
    # Scale and least are each off by 1 in 2048; the largest code times its scale is what that can move.
    assert (dense(matrix) - wanted).abs().max() <= 2 * wanted.abs().max() / 2048


def test_a_scale_that_is_no_number_is_not_packed() -> None:
    raw = blocks(Q8_0, 16, 64)
    raw[3, :2] = torch.tensor([0, 0x7C], dtype=torch.uint8)
    assert pack_rows(raw, Q8_0, 64) is None


@pytest.mark.parametrize("type", ["q8_0", "q4_0"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_file_loads_packed(tmp_path, type: str, tied: bool) -> None:
    model = made(head=Head(tied=tied))
    save_gguf(model, byte_tokenizer(), tmp_path / "x.gguf", type)
    assert stays_packed(tmp_path / "x.gguf")
    low, _ = load_gguf(tmp_path / "x.gguf", packed=True)
    plain, _ = load_gguf(tmp_path / "x.gguf")
    with torch.no_grad():
        got, wanted = low(IDS)[0], plain(IDS)[0]
    assert (got - wanted).square().mean().sqrt() < 0.04 * wanted.std()  # inputs rounded to 8 bits
    assert not [name for name, _ in low.named_parameters() if "norm" not in name]
    make_dense(low)
    for (name, ours), theirs in zip(plain.named_parameters(), low.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6), name


def test_plain_files_have_nothing_packed(tmp_path) -> None:
    save_gguf(made(), byte_tokenizer(), tmp_path / "x.gguf", "f16")
    assert not stays_packed(tmp_path / "x.gguf")
    low, _ = load_gguf(tmp_path / "x.gguf", packed=True)
    plain, _ = load_gguf(tmp_path / "x.gguf")
    assert all(torch.equal(a, b) for a, b in zip(low.parameters(), plain.parameters(), strict=True))


def test_a_damaged_scale_is_told(tmp_path) -> None:
    save_gguf(made(), byte_tokenizer(), tmp_path / "x.gguf", "q8_0")
    info = read_gguf(tmp_path / "x.gguf").tensors["blk.0.ffn_up.weight"]
    content = bytearray((tmp_path / "x.gguf").read_bytes())
    content[info.offset : info.offset + 2] = b"\x00\x7e"
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(UserError, match=r"blk\.0\.ffn_up\.weight"):
        load_gguf(tmp_path / "x.gguf", packed=True)
