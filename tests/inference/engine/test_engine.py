"""Requests decoded together write what each writes alone, and nothing is left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator, Sequence

import pytest
import torch

from fourfold.errors import FourfoldError, UserError
from fourfold.inference import Sampler, Sampling
from fourfold.inference.engine import Engine, EngineLimits, Overloaded, Request, Search, Token
from fourfold.kernels import kernels
from fourfold.models import CausalLM, Step, TransformerLM
from fourfold.models.transformer import PAGE, Rotary
from tests.inference.engine.models import KINDS, PAGE_BYTES, build

DEVICE = torch.device("cpu")


def request(ids: list[int], tokens: int = 8, **options: object) -> Request:
    return Request(ids=ids, max_tokens=tokens, sampler=Sampler(Sampling(temperature=0)), **options)


def alone(model: CausalLM, wanted: Request) -> list[int]:
    """Greedy tokens by whole texts, no state: the slowest way there is."""
    ids = list(wanted.ids)
    source = None if wanted.source is None else torch.tensor([list(wanted.source)])
    if not isinstance(model, TransformerLM) or not isinstance(model.config.positions, Rotary):
        pass
    elif model.config.positions.scaling is not None:  # earlier keys keep their angles while the scale grows
        return step_by_step(model, wanted)
    with torch.inference_mode():
        while len(ids) < len(wanted.ids) + wanted.max_tokens and (model.context is None or len(ids) < model.context):
            prefix = torch.arange(len(ids))[None] < len(wanted.ids) if wanted.whole else None
            gates = None if wanted.adapters is None else torch.tensor([wanted.adapters])
            step = Step(ids=torch.tensor([ids]), source=source, prefix=prefix, adapters=gates)
            id = int(model.logits(model.hidden(step)[:, -1])[0].argmax())
            if id in wanted.stop_ids:
                break
            ids.append(id)
    return ids[len(wanted.ids) :]


def step_by_step(model: TransformerLM, wanted: Request) -> list[int]:
    """Greedy tokens with a plain cache, the prompt read at once."""
    state, ids, found = model.new_state(1, 256), list(wanted.ids), []
    with torch.inference_mode():
        while len(found) < wanted.max_tokens:
            id = int(model(torch.tensor([ids]), state)[0][0, -1].argmax())
            if id in wanted.stop_ids:
                break
            found.append(id)
            ids = [id]
    return found


def random_requests(kind: str, count: int, seed: int) -> list[Request]:
    """Prompts of which many begin alike, some are equal; of a few lengths."""
    chance = random.Random(seed)
    beginnings = [[chance.randrange(50) for _ in range(40)] for _ in range(2)]
    found = []
    for _ in range(count):
        ids = chance.choice(beginnings)[: chance.choice((0, 20, 40))] + [
            chance.randrange(50) for _ in range(chance.choice((1, 3, 30)))
        ]
        if kind == "encoder-decoder":
            source = [chance.randrange(50) for _ in range(chance.choice((2, 9)))]
            found.append(request([0, *ids[:3]], chance.randrange(1, 12), source=source))
        else:
            stop = frozenset({chance.randrange(50)})
            found.append(request(ids, chance.choice((1, 7, 40)), stop_ids=stop, whole=kind == "prefix"))
    return found + found[:2]


def written(engine: Engine, requests: list[Request]) -> list[list[int]]:
    running = [engine.submit(one) for one in requests]
    return [[token.id for token in one if token.id is not None] for one in running]


def no_block_is_lost(engine: Engine) -> None:
    counts = engine.counts()
    assert (counts.running, counts.waiting, counts.swapped, counts.blocks_used) == (0, 0, 0, 0)
    engine.memory.forget()
    counts = engine.counts()
    assert (counts.blocks_used, counts.blocks_cached) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tight", [False, True])
def test_everybody_writes_what_he_writes_alone(kind: str, tight: bool) -> None:
    model = build(kind)
    limits = EngineLimits(rows=5, tokens=24, kv_bytes=9 * PAGE_BYTES) if tight else EngineLimits()
    engine = Engine(model, DEVICE, limits=limits)
    for seed in range(2):
        requests = random_requests(kind, 12, seed)
        assert written(engine, requests) == [alone(model, one) for one in requests]
        no_block_is_lost(engine) if seed else None
    if kind == "llama":
        assert engine.counts().prefix_hits > 0


@pytest.mark.parametrize("dtype", [None, torch.int8])
def test_who_came_last_gives_way_and_goes_on_as_if_nothing_had_happened(dtype: torch.dtype | None) -> None:
    model, chance = build("llama"), random.Random(1)
    requests = [request([chance.randrange(50) for _ in range(10)], 60) for _ in range(6)]
    plenty = Engine(model, DEVICE, limits=EngineLimits(kv_dtype=dtype))
    room = plenty.memory.store.shape.bytes(dtype or torch.float32)
    engine = Engine(model, DEVICE, limits=EngineLimits(kv_bytes=11 * room, kv_dtype=dtype))
    expected = written(plenty, requests)
    assert written(engine, requests) == expected
    assert engine.counts().preemptions > 2
    assert plenty.counts().preemptions == 0
    no_block_is_lost(engine)


@pytest.mark.parametrize("invariant", [False, True])
def test_cancelled_ones_leave_nothing(invariant: bool) -> None:
    model, chance = build("llama"), random.Random(3)
    engine = Engine(model, DEVICE, limits=EngineLimits(rows=4, kv_bytes=10 * PAGE_BYTES, batch_invariant=invariant))
    requests = random_requests("llama", 30, 5)
    running = [engine.submit(one) for one in requests]
    for _ in range(200):
        if not engine.step():
            break
        chance.choice(running).cancel() if chance.random() < 0.3 else None
    for one, wanted in zip(running, requests, strict=True):
        ids = [token.id for token in one if token.id is not None]
        expected = alone(model, wanted)
        assert ids == expected[: len(ids)]
        assert one.cancelled or ids == expected
    assert any(one.cancelled for one in running)
    no_block_is_lost(engine)


def test_cancelling_frees_blocks_at_once() -> None:
    engine = Engine(build("llama"), DEVICE, limits=EngineLimits(share_prefixes=False))
    running = engine.submit(request(list(range(40)), 20))
    engine.step()
    assert engine.counts().blocks_used == 3
    running.cancel()
    assert engine.counts().blocks_used == 0
    assert [token.id for token in running if token.id is None] == []


def test_a_search_takes_turns_with_the_rows_and_can_be_left() -> None:
    model, order = build("llama"), list[str]()

    def run(wanted: Request) -> Generator[Sequence[Token]]:
        for id in range(50):
            order.append("search")
            yield [Token(id, 0.0)]
        yield [Token(None, 0.0, "length")]

    engine = Engine(model, DEVICE, limits=EngineLimits(waiting=12))
    searching = [engine.submit(request([1], search=Search(run, rows=1))) for _ in range(10)]
    assert engine.counts().waiting == 10
    plain = engine.submit(request([2], 5))
    assert next(iter(plain)).id is not None
    assert (engine.counts().running, engine.counts().waiting) == (1 + 8, 2)
    assert len(order) == 8  # one call each, beside one step of the row
    for left in searching[1:]:
        left.cancel()
    assert [token.id for token in searching[0]] == [*range(50), None]
    assert [token.id for token in searching[1]] == [0]
    assert len(list(plain)) == 5
    no_block_is_lost(engine)

    def fail(wanted: Request) -> Generator[Sequence[Token]]:
        yield [Token(1, 0.0)]
        raise ValueError("wrong")

    failing, fine = engine.submit(request([1], search=Search(fail, rows=1))), engine.submit(request([3], 4))
    with pytest.raises(ValueError, match="wrong"):
        list(failing)
    assert len(list(fine)) == 5
    with pytest.raises(UserError, match="needs more memory"):
        engine.submit(request([1], 20, search=Search(run, rows=10**9)))
    last = engine.submit(request([1], search=Search(run, rows=1)))
    engine.close()
    with pytest.raises(FourfoldError, match="closed"):
        list(last)


def test_a_known_beginning_gives_the_same_logits() -> None:
    model, ids = build("llama"), [i % 50 for i in range(90)]
    engine = Engine(model, DEVICE)
    first = [token.log_prob for token in engine.submit(request(ids, 5))]
    running = engine.submit(request(ids, 5))
    assert [token.log_prob for token in running] == pytest.approx(first, abs=1e-5)
    assert engine.counts().prefix_tokens == 80
    assert not running.batch_invariant


def test_an_answer_is_known_in_the_next_turn() -> None:
    model, ids = build("llama"), [i % 50 for i in range(30)]
    engine = Engine(model, DEVICE)
    (answer,) = written(engine, [request(ids, 40)])
    turn = request([*ids, *answer, 7, 8, 9], 5)
    assert written(engine, [turn]) == [alone(model, turn)]
    assert engine.counts().prefix_tokens == (len(ids) + len(answer) - 1) // PAGE * PAGE


def test_a_long_prompt_does_not_stop_those_who_write() -> None:
    engine = Engine(build("llama"), DEVICE, limits=EngineLimits(tokens=20))
    short, long = engine.submit(request([1, 2, 3], 30)), request([i % 50 for i in range(150)], 3)
    engine.step()
    running = engine.submit(long)
    steps = 0
    while not running.take():
        assert engine.step()
        steps += 1
        assert len(short.take()) >= 1
    assert steps == 150 // 20 + 1


def test_changed_weights_are_noticed() -> None:
    model, wanted = build("llama"), request([i % 50 for i in range(90)], 5)
    engine = Engine(model, DEVICE)
    written(engine, [wanted])
    with torch.no_grad():
        model.stack.layers[0].attention.value.weight.mul_(-2)
    assert written(engine, [wanted]) == [alone(model, wanted)]
    assert engine.counts().prefix_tokens == 0


def test_adapters_differ_within_a_batch() -> None:
    model = build("adapted")
    ids = [i % 50 for i in range(40)]
    requests = [request(ids, 6, adapters=gates) for gates in (None, (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))]
    engine = Engine(model, DEVICE)
    found = written(engine, requests)
    assert found == [alone(model, one) for one in requests]
    assert len({tuple(ids) for ids in found}) == 4  # None and all are the same
    assert written(engine, requests) == found
    with pytest.raises(UserError, match="expected 2 gates, got 1"):
        engine.submit(request(ids, adapters=(1.0,)))


@pytest.mark.parametrize(("kind", "asked"), [("llama", True), ("packed", True), ("packed", False)])
def test_same_text_whatever_else_is_decoded(kind: str, asked: bool) -> None:
    """In bf16, where products of other shapes have other bits; the numbers themselves are compared.

    The compiled stack on packed weights keeps them without being asked, and in one call for all.
    """
    model = build(kind)
    if kind == "packed":
        if not model.batch_invariant:
            pytest.skip(kernels().why)
    else:
        model = model.bfloat16()
    sizes, plain = [], model.hidden
    model.hidden = lambda step, state: sizes.append(len(step.ids)) or plain(step, state)
    page = model.stack.page_shape.bytes(torch.bfloat16)
    ids = [i % 50 for i in range(150)]
    wanted = [ids[:n] for n in (7, 150, 135)]

    def answers(engine: Engine, others: list[Request]) -> list[list[tuple[int | None, float]]]:
        requests = [
            Request(ids=one, max_tokens=12, sampler=Sampler(Sampling(temperature=1.0, seed=i)))
            for i, one in enumerate(wanted)
        ]
        for other in others:
            engine.submit(other)
        running = [engine.submit(one) for one in requests]
        found = [[(token.id, token.log_prob) for token in one] for one in running]
        assert all(one.batch_invariant for one in running)
        return found

    limits = EngineLimits(batch_invariant=asked, rows=4, kv_bytes=12 * page)
    solo = []
    for at in range(3):
        solo.append(answers(Engine(model, DEVICE, limits=limits), [])[at])
    engine = Engine(model, DEVICE, limits=limits)
    others = [request(ids[n : n + 10], 60) for n in range(1, 7)]
    for _ in range(2):
        assert answers(engine, others) == solo
    counts = engine.counts()
    assert counts.prefix_hits > 0
    assert counts.preemptions > 0
    assert (max(sizes) > 1) == (kind == "packed")


def test_several_answers_read_one_prompt_once() -> None:
    for kind in KINDS:
        model = build(kind)
        whole, source = kind == "prefix", [3, 4, 5] if kind == "encoder-decoder" else None
        requests = [
            Request(ids=[1, *range(20)], max_tokens=6, sampler=Sampler(Sampling(temperature=1.0, seed=seed)),
                    whole=whole, source=source)
            for seed in range(4)
        ]  # fmt: skip
        engine = Engine(model, DEVICE)
        running = [engine.submit(one) for one in requests]
        found = [[token.id for token in one if token.id is not None] for one in running]
        assert engine.counts().tokens_read == 21
        assert len({tuple(ids) for ids in found}) > 1
        again = Engine(model, DEVICE)
        single = Request(ids=[1, *range(20)], max_tokens=6, sampler=Sampler(Sampling(temperature=1.0, seed=2)),
                         whole=whole, source=source)  # fmt: skip
        assert written(again, [single])[0] == found[2]
        no_block_is_lost(engine)


def test_who_fails_fails_alone() -> None:
    class Broken:
        def choose(self, logits: torch.Tensor, ids: list[int]) -> int:
            raise UserError("no token is allowed")

    model, ids = build("llama"), [i % 50 for i in range(30)]
    with torch.no_grad():
        model.stack.embedding.weight[49] = float("nan")
        model.head.projection.weight.copy_(model.head.projection.weight)
    engine = Engine(model, DEVICE, limits=EngineLimits(kv_bytes=8 * PAGE_BYTES))
    good = request(ids, 8)
    poisoned, broken = request([*ids, 49], 8), Request(ids=ids[:5], max_tokens=8, sampler=Broken())
    running = [engine.submit(one) for one in (poisoned, good, broken, good)]
    with pytest.raises(Exception, match="not a number"):
        list(running[0])
    with pytest.raises(UserError, match="no token is allowed"):
        list(running[2])
    expected = alone(model, good)
    for one in (running[1], running[3]):
        assert [token.id for token in one if token.id is not None] == expected
    no_block_is_lost(engine)
    assert torch.isfinite(engine.memory.store.keys).all()
    for _ in range(3):  # pages of the poisoned one are used again
        assert written(engine, [request(ids[::-1], 8)]) == [alone(model, request(ids[::-1], 8))]


def test_a_call_that_fails_is_taken_apart() -> None:
    model = build("llama")
    plain = model.hidden

    def fragile(step: Step, state: object) -> torch.Tensor:
        if (step.ids == 33).any():
            raise RuntimeError("33 is unlucky")
        return plain(step, state)

    model.hidden = fragile
    engine = Engine(model, DEVICE)
    running = [engine.submit(request([i, 33 if i == 2 else 5, 7], 4)) for i in range(4)]
    for at, one in enumerate(running):
        if at == 2:
            with pytest.raises(RuntimeError, match="33 is unlucky"):
                list(one)
        else:
            assert len([token for token in one if token.id is not None]) == 4
    no_block_is_lost(engine)


def test_a_listener_that_fails_has_gone() -> None:
    def gone() -> None:
        raise RuntimeError("the loop is closed")

    model = build("llama")
    engine = Engine(model, DEVICE)
    left, stays = engine.submit(request([1, 2, 3], 30)), engine.submit(request([4, 5], 6))
    left.listen(gone)
    assert [token.id for token in stays if token.id is not None] == alone(model, stays.request)
    assert left.cancelled
    no_block_is_lost(engine)


def test_a_source_that_cannot_be_read_fails_alone() -> None:
    model = build("encoder-decoder")
    engine = Engine(model, DEVICE)
    running = [engine.submit(request([0], 4, source=source)) for source in ([1, 2], [1] * 300, [3])]
    with pytest.raises(ValueError, match="at most 256 tokens"):
        list(running[1])
    for one in (running[0], running[2]):
        assert [token.id for token in one if token.id is not None] == alone(model, one.request)
    with pytest.raises(UserError, match="token id out of range"):
        engine.submit(request([0], 4, source=[50]))


def test_what_can_never_be_served_is_refused() -> None:
    engine = Engine(build("llama"), DEVICE, limits=EngineLimits(kv_bytes=3 * PAGE_BYTES, waiting=2))
    with pytest.raises(UserError, match="could grow to 60 tokens, but there is memory for the keys and values of 48"):
        engine.submit(request(list(range(20)), 40))
    with pytest.raises(UserError, match="does not fit the model's context"):
        engine.submit(request([1] * 300))
    with pytest.raises(UserError, match="token id out of range, expected 0 to 49, got 50"):
        engine.submit(request([1, 50]))
    with pytest.raises(UserError, match="a token to begin with"):
        engine.submit(request([]))
    engine.submit(request([1])), engine.submit(request([2]))
    with pytest.raises(Overloaded, match="2 requests wait already"):
        engine.submit(request([3]))


def test_alternatives_are_the_most_probable_ids() -> None:
    model = build("llama")
    tokens = list(Engine(model, DEVICE).submit(request([1, 2, 3], 3, top_alternatives=4)))
    with torch.inference_mode():
        best = model(torch.tensor([[1, 2, 3]]))[0][0, -1].log_softmax(-1).topk(4)
    assert [id for id, _ in tokens[0].alternatives] == best.indices.tolist()
    assert [p for _, p in tokens[0].alternatives] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert tokens[0].id == tokens[0].alternatives[0][0]
    assert tokens[-1] == (None, tokens[-2].log_prob, "length", ())


def test_threads_share_an_engine_with_a_thread_of_its_own() -> None:
    model = build("llama")
    engine = Engine(model, DEVICE, limits=EngineLimits(rows=4)).start()
    requests = random_requests("llama", 24, 7)
    found: dict[int, list[int]] = {}
    woken = threading.Event()

    def ask(numbers: range) -> None:
        for number in numbers:
            running = engine.submit(requests[number])
            if number % 3 == 0:
                running.listen(woken.set)
                tokens = []
                while not running.ended:
                    woken.wait(1)
                    woken.clear()
                    tokens += running.take()
                tokens += running.take()
                found[number] = [token.id for token in tokens if token.id is not None]
            elif number % 3 == 1:
                found[number] = [token.id for token in running if token.id is not None]
            else:
                next(iter(running))
                running.cancel()

    threads = [threading.Thread(target=ask, args=(range(start, 24, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == {number: alone(model, requests[number]) for number in found}
    assert len(found) == 16
    waiting = engine.submit(request([1, 2, 3], 100))
    engine.close()
    with pytest.raises(Exception, match="closed before"):
        list(waiting)
    with pytest.raises(Exception, match="takes no more requests"):
        engine.submit(request([1]))
    no_block_is_lost(engine)


def test_pages_hold_what_was_said() -> None:
    """The size that the tests above count in: a page of the small model."""
    engine = Engine(build("llama"), DEVICE, limits=EngineLimits(kv_bytes=10 * PAGE_BYTES))
    assert engine.memory.store.count == 10
    assert PAGE == 16
