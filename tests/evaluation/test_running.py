"""`evaluate` end to end on scripted models: scores, batches, resume, refusals."""

import json
from contextlib import nullcontext

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import arithmetic_task, evaluate, file_task, make_solver, solver_names
from fourfold.files import read_json, read_jsonl
from fourfold.inference import Continuation, Endpoint, EndpointOptions, ScriptedModel
from fourfold.progress import use_sink
from fourfold.utilization import calculate, conversations_of


def product(messages):
    """The expression of "What is 12 * 34?" and the like."""
    question = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    return "".join(c for c in question if c in "0123456789+-*/").strip("-")


def caller(messages):
    return f"CALC({product(messages)})"


class Likely:
    """Scores by a table of continuations."""

    name = "likely"

    def __init__(self, nats):
        self.nats = nats
        self.calls = 0

    def score(self, texts):
        raise AssertionError("not asked for")

    def log_likelihood(self, pairs):
        self.calls += 1
        return [Continuation(self.nats[continuation], False, 1) for _, continuation in pairs]


@pytest.fixture
def simple_task():
    """Problems whose phrasing this test knows, scored by the real scorer."""
    from fourfold.evaluation import Item, Task

    real = arithmetic_task()
    items = [Item(id=str(n), prompt=f"What is {n}*{n + 3}?", target=str(n * (n + 3))) for n in range(11, 75)]
    fields = {name: getattr(real, name) for name in Task.__dataclass_fields__}
    return Task(**{**fields, "items": lambda seed, limit: items[:limit]})


def test_tool_against_no_tool(tmp_path, simple_task):
    models = {"plain": ScriptedModel(["I do not know"]), "tuned": ScriptedModel(caller)}
    results = evaluate(models, [simple_task], folder=tmp_path, solvers=["zero_shot", "zero_shot+calculator"])
    values = {(row["model"], row["solver"]): row for row in results["rows"]}
    tuned = values["tuned", "zero_shot+calculator"]
    assert tuned["value"] == 1
    assert tuned["n"] == 64
    assert (tuned["low"], tuned["interval"]) == (pytest.approx(0.9434, abs=1e-4), "Wilson")
    assert values["tuned", "zero_shot"]["value"] < 0.1
    assert values["plain", "zero_shot+calculator"]["value"] == 0
    assert 0.1 < values["plain", "zero_shot"]["detectable"] < 0.2
    calls = {(row["model"], row["solver"]): row["value"] for row in results["details"] if row["metric"] == "call"}
    assert calls["tuned", "zero_shot"] == calls["tuned", "zero_shot+calculator"] == 1
    by_solver = {row["solver"]: row for row in results["comparisons"]}
    with_tool = by_solver["zero_shot+calculator"]
    assert (with_tool["a"], with_tool["b"], with_tool["verdict"]) == ("plain", "tuned", "better")
    assert (with_tool["gained"], with_tool["lost"]) == (64, 0)
    assert by_solver["zero_shot"]["verdict"] == "no difference shown"
    assert read_json(tmp_path / "results.json") == json.loads(json.dumps(results))
    samples = [value for _, value in read_jsonl(tmp_path / "samples.jsonl")]
    assert len(samples) == 4 * 64
    last = next(s for s in samples if s["model"] == "tuned" and s["solver"] == "zero_shot+calculator")
    assert last["meta"]["before_tools"] == "CALC(11*14)"
    assert last["output"] == calculate("11*14") == last["target"]


def test_all_solvers_run(tmp_path, simple_task):
    model = ScriptedModel(caller)
    results = evaluate({"m": model}, [simple_task], folder=tmp_path, solvers=solver_names(), limit=4)
    assert {row["solver"] for row in results["rows"]} == set(solver_names())
    assert {row["n"] for row in results["rows"]} == {4}


def test_few_shot_with_the_tool_shows_calls(simple_task):
    model = ScriptedModel(caller)
    for name, shown in (("few_shot", "42"), ("few_shot+calculator", "CALC(12+30)")):
        make_solver(name, model, simple_task)(conversations_of(["What is 1*2?"]))
        assert model.conversations[-1][1]["content"] == shown


def test_finished_cells_are_kept(tmp_path, simple_task):
    first = ScriptedModel(caller)
    before = evaluate({"m": first}, [simple_task], folder=tmp_path, hashes={"m": "1"})
    second = ScriptedModel(caller)
    again = evaluate({"m": second}, [simple_task], folder=tmp_path, hashes={"m": "1"})
    assert second.conversations == []
    assert again == before
    evaluate({"m": second}, [simple_task], folder=tmp_path, hashes={"m": "2"})
    assert len(second.conversations) == 64, "a retrained model is asked again"
    evaluate({"m": second}, [simple_task], folder=tmp_path, hashes={"m": "2"}, limit=3)
    assert len(second.conversations) == 67, "other items are asked"


def test_what_finished_before_an_interruption_is_kept(tmp_path, simple_task):
    class Broken:
        name = "broken"
        generate = chat = chat_batch = lambda self, *a: (_ for _ in ()).throw(KeyboardInterrupt)

    good = ScriptedModel(caller)
    with pytest.raises(KeyboardInterrupt):
        evaluate({"good": good, "bad": Broken()}, [simple_task], folder=tmp_path)
    assert not (tmp_path / "results.json").exists()
    evaluate({"good": good, "bad": ScriptedModel(["?"])}, [simple_task], folder=tmp_path)
    assert len(good.conversations) == 64


def test_a_damaged_cell_is_done_again(tmp_path, simple_task):
    model = ScriptedModel(caller)
    before = evaluate({"m": model}, [simple_task], folder=tmp_path, limit=5)
    (cell,) = (tmp_path / "cells").iterdir()
    cell.write_text(cell.read_text()[:100])
    after = evaluate({"m": model}, [simple_task], folder=tmp_path, limit=5)
    assert len(model.conversations) == 10
    assert [row["value"] for row in after["rows"]] == [row["value"] for row in before["rows"]]


def test_likelihood_raw_and_per_byte_differ(tmp_path):
    lines = [{"question": "q", "choices": ["a", "a long one"], "answer": 1}]
    path = tmp_path / "mc.jsonl"
    path.write_text(json.dumps(lines[0]) + "\n")
    model = Likely({" a": -2.0, " a long one": -4.0})
    results = evaluate({"m": model}, [file_task(path)], folder=tmp_path / "out", solvers=["few_shot"])
    (row,), (raw, by_token) = results["rows"], results["details"]
    assert (row["metric"], row["value"], row["solver"], row["chance"]) == ("accuracy", 1, "log_likelihood", 0.5)
    assert (raw["metric"], raw["value"]) == ("accuracy_raw", 0)
    assert (by_token["metric"], by_token["value"]) == ("accuracy_token", 0)
    methods = ["log-likelihood per byte", "log-likelihood, raw", "log-likelihood per token"]
    assert [one["method"] for one in (row, raw, by_token)] == methods
    assert model.calls == 1
    (sample,) = [value for _, value in read_jsonl(tmp_path / "out" / "samples.jsonl")]
    assert sample["output"] == " a long one"
    assert sample["meta"]["log_likelihoods"] == [-2, -4]


def test_refusals_name_the_alternative(tmp_path):
    class Endpoint:
        name = "gpt"
        capabilities = frozenset({"chat", "generate"})
        score = log_likelihood = generate = chat = chat_batch = None

    path = tmp_path / "mc.jsonl"
    path.write_text('{"question": "q", "choices": ["a", "b"], "answer": 0}\n')
    with pytest.raises(UserError, match=r"Use tasks answered by generation.*--method letter_chat"):
        evaluate({"gpt": Endpoint()}, [f"file:{path}"], folder=tmp_path)
    with pytest.raises(UserError, match=r"cannot chat.*scored by log-likelihood"):
        evaluate({"m": Likely({})}, ["format"], folder=tmp_path)
    with pytest.raises(UserError, match="unknown way of asking 'zeroshot'"):
        evaluate({"m": ScriptedModel(["x"])}, ["format"], folder=tmp_path, solvers=["zeroshot"])
    with pytest.raises(UserError, match="unknown model in a pair"):
        evaluate({"m": ScriptedModel(["x"])}, ["format"], folder=tmp_path, pairs=[("m", "n")])
    with pytest.raises(UserError, match="no model"):
        evaluate({}, ["format"], folder=tmp_path)
    with pytest.raises(UserError, match="limit"):
        evaluate({"m": ScriptedModel(["x"])}, ["format"], folder=tmp_path, limit=0)


def test_solvers_that_do_not_suit_a_task_fall_back(tmp_path):
    results = evaluate(
        {"m": ScriptedModel(["x"])}, ["format"], folder=tmp_path, solvers=["few_shot", "zero_shot+calculator"], limit=3
    )
    assert [row["solver"] for row in results["rows"]] == ["zero_shot"]


def test_progress_counts_every_item(tmp_path, simple_task):
    class Sink:
        total = done = 0

        def start(self, label, total, unit):
            self.total = total
            return self

        def advance(self, amount=1, note=""):
            self.done += amount

        def stop(self, task): ...
        def say(self, text): ...

    sink = Sink()
    with use_sink(sink):
        evaluate({"m": ScriptedModel(caller)}, [simple_task, "format"], folder=tmp_path, limit=5)
    assert sink.done == sink.total == 10


def test_answers_of_an_endpoint_that_drops_are_not_asked_for_again(tmp_path):
    lines = [json.dumps({"question": f"What is {n}?", "answer": str(n)}) for n in range(8)]
    (tmp_path / "q.jsonl").write_text("\n".join(lines), "utf-8")
    endpoint = Endpoint("m", "http://127.0.0.1:9/v1", EndpointOptions(concurrency=1))
    asked = []

    def post(path, body, again):
        asked.append(body["messages"][-1]["content"])
        if len(asked) == 4:
            raise UserError("the endpoint does not answer")
        return {"choices": [{"message": {"content": "5"}}], "usage": {}}

    endpoint.wire.post = post
    for _ in range(2):
        with pytest.raises(UserError, match="does not answer") if len(asked) < 4 else nullcontext():
            results = evaluate({"m": endpoint}, [file_task(tmp_path / "q.jsonl")], folder=tmp_path / "out")
    assert len(asked) - 1 == len(set(asked)) == 8
    assert results["rows"][0]["value"] == 1 / 8
    assert [path.suffix for path in (tmp_path / "out" / "cells").iterdir()] == [".json"]
