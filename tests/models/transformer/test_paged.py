"""Keys and values in pages say what keys and values in one piece say, whatever was forked, cut back or given back."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from fourfold.models import Step, TransformerLM
from fourfold.models.transformer import (
    PAGE,
    ALiBi,
    Attention,
    DynamicNTKScaling,
    Embedding,
    Learned,
    Norm,
    OutOfPages,
    PagedCache,
    Rotary,
)
from tests.models.transformer.axes import BASE

LONG = replace(BASE, context=200)
FAMILIES = {
    "llama": LONG,
    "gpt2": replace(LONG, positions=Learned(), norm=Norm(kind="layer"), attention=Attention(heads=4)),
    "gemma2": replace(LONG, attention=Attention(heads=4, kv_heads=2, windows=(20, None), softcap=5.0)),
    "mistral": replace(LONG, attention=Attention(heads=4, kv_heads=1, windows=(20,))),
    "bloom": replace(LONG, positions=ALiBi(), embedding=Embedding(norm=True)),
    "dynamic": replace(LONG, positions=Rotary(scaling=DynamicNTKScaling(factor=2, original_context=32))),
}


def build(name: str) -> TransformerLM:
    model = TransformerLM(FAMILIES[name])
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() > 1 else None
    return model.eval()


def random_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(50, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_pages_say_what_one_piece_says(name: str) -> None:
    model = build(name)
    ids = random_ids(3, 120)
    plain, pages = model.new_state(3, 200), model.stack.new_pages(64)
    paged = PagedCache.empty(pages, 3)
    steps = [(30, [30, 7, 17]), (1, [1, 1, 1]), (1, [1, 1, 1]), (40, [40, 33, 2]), (1, [1, 1, 1])]
    at = 0
    for new, lengths in steps:
        step = Step(ids=ids[:, at : at + new], lengths=torch.tensor(lengths))
        want, got = model.hidden(step, plain), model.hidden(step, paged)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(got[row, :length], want[row, :length], atol=2e-5, rtol=1e-4)
        assert paged.lengths.tolist() == plain.lengths.tolist()
        assert all(len(table) == -(-start // PAGE) for table, start in zip(paged.tables, paged.starts, strict=True))
        at += new
    paged.free()
    assert pages.free == pages.count


@torch.inference_mode()
def test_forks_share_pages_until_they_write() -> None:
    model = build("llama")
    pages = model.stack.new_pages(20)
    one = PagedCache.empty(pages, 1)
    ids = random_ids(1, 60)
    model.hidden(Step(ids=ids[:, :40]), one)
    assert pages.count - pages.free == 3
    three = one.fork(torch.tensor([0, 0, 0]))
    assert pages.count - pages.free == 3
    tails = random_ids(3, 5, seed=2)
    got = model.hidden(Step(ids=tails), three)
    assert pages.count - pages.free == 2 + 4  # two full pages for all four rows, the third of each its own
    for row in range(3):
        want = model.hidden(Step(ids=torch.cat((ids[0, :40], tails[row]))[None]))[0, 40:]
        torch.testing.assert_close(got[row], want, atol=2e-5, rtol=1e-4)
    want = model.hidden(Step(ids=ids))[0, 40:]
    torch.testing.assert_close(model.hidden(Step(ids=ids[:, 40:]), one)[0], want, atol=2e-5, rtol=1e-4)
    one.free(), three.free()
    assert pages.free == pages.count


@torch.inference_mode()
def test_cut_back_and_gone_on() -> None:
    model = build("gpt2")
    pages = model.stack.new_pages(20)
    state = PagedCache.empty(pages, 2)
    ids = random_ids(2, 60)
    model.hidden(Step(ids=ids), state)
    state.truncate(torch.tensor([60, 33]))
    assert [len(table) for table in state.tables] == [4, 3]
    tail = random_ids(1, 6, seed=3)
    got = model.hidden(Step(ids=tail.expand(2, -1)), state)
    want = model.hidden(Step(ids=torch.cat((ids[1:, :33], tail), 1)))[:, 33:]
    torch.testing.assert_close(got[1:], want, atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_pages_left_behind_by_a_window_are_given_back() -> None:
    model = build("mistral")
    pages = model.stack.new_pages(12)
    state, ids = PagedCache.empty(pages, 1), random_ids(1, 180)
    parts = [model.hidden(Step(ids=ids[:, at : at + 10]), state) for at in range(0, 180, 10)]
    torch.testing.assert_close(torch.cat(parts, 1), model.hidden(Step(ids=ids)), atol=2e-5, rtol=1e-4)
    assert pages.count - pages.free == 180 // PAGE + 1 - (180 - 20 - 64) // PAGE
    with pytest.raises(ValueError, match="the window has left them behind"):
        state.truncate(torch.tensor([90]))
    state.truncate(torch.tensor([170]))
    state.free()
    assert pages.free == pages.count


def test_a_full_store_says_so_and_changes_nothing() -> None:
    model = build("llama")
    pages = model.stack.new_pages(3)
    state = PagedCache.empty(pages, 2)
    state.reserve(PAGE)
    before = [list(table) for table in state.tables]
    with pytest.raises(OutOfPages, match="2 pages of keys and values are needed, 1 are free"):
        state.reserve(PAGE + 1)
    assert state.tables == before


@torch.inference_mode()
def test_int8_is_close_and_quarter_the_size() -> None:
    model = build("llama")
    ids = random_ids(2, 50)
    small, plain = model.stack.new_pages(8, torch.int8), model.stack.new_pages(8)
    paged = PagedCache.empty(small, 2)
    want = model.hidden(Step(ids=ids))
    got = torch.cat([model.hidden(Step(ids=ids[:, at : at + 10]), paged) for at in range(0, 50, 10)], 1)
    assert 0 < float((got - want).norm() / want.norm()) < 0.02
    assert small.shape.bytes(torch.int8) < 0.4 * plain.shape.bytes(torch.float32)


def test_bf16_keeps_its_bits() -> None:
    model = build("llama").bfloat16()
    ids = random_ids(1, 40)
    with torch.inference_mode():
        plain, paged = model.new_state(1, 64), PagedCache.empty(model.stack.new_pages(8), 1)
        for at in (0, 20):
            step = Step(ids=ids[:, at : at + 20])
            assert torch.equal(model.hidden(step, plain), model.hidden(step, paged))


def test_readers_are_counted_through_any_life() -> None:
    """No page is lost or given back twice, whatever is done in whatever order."""
    pages = build("llama").stack.new_pages(40)
    chance, states = random.Random(0), [PagedCache.empty(pages, 2)]
    for _ in range(400):
        state = chance.choice(states)
        match chance.randrange(4):
            case 0 if state.missing(9) <= pages.free:
                state.reserve(9)
                state.advance(torch.tensor([chance.randrange(10) for _ in state.tables]))
            case 1 if len(states) < 5:
                states.append(state.fork(torch.tensor([chance.randrange(len(state.tables)) for _ in range(2)])))
            case 2:
                state.truncate(torch.tensor([chance.randrange(80) for _ in state.tables]))
            case 3 if len(states) > 1:
                state.free()
                states.remove(state)
        held = [page for state in states for table in state.tables for page in table]
        assert sorted(set(range(1, 41)) - set(held)) == sorted(pages._unused)
        assert all(pages.readers[page] == held.count(page) for page in range(1, 41))
