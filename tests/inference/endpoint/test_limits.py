"""An endpoint that fails in every way, is slow, forbids, counts, echoes: against a scripted server."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.inference import (
    Beam,
    BestOf,
    Endpoint,
    EndpointOptions,
    Price,
    Sampling,
    choice,
    grammar,
    json_schema,
    regex,
)  # fmt: skip
from fourfold.inference.endpoint.pace import Pace
from fourfold.inference.endpoint.wire import retry_after

HELLO = [{"role": "user", "content": "Hi"}]
Reply = Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]
QUICK = {"first_wait": 0.0}


def fine(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    choices = [
        {"message": {"content": f"Hello {place}"}, "text": f"Hello {place}", "finish_reason": "stop"}
        for place in range(body.get("n", 1))
    ]
    usage = {"prompt_tokens": 30, "completion_tokens": 20}
    return 200, {}, json.dumps({"choices": choices, "usage": usage}).encode()


def refuse(code: int, **headers: str) -> Reply:
    return lambda body: (code, {name.replace("_", "-"): value for name, value in headers.items()}, b"no")


class Server:
    """Gives the next of the scripted replies, and a good one when they have ended."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.reply: Reply = fine
        self.bodies: list[dict[str, Any]] = []
        self.most = self._now = 0
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.bodies.append(body)
                    outer._now += 1
                    outer.most = max(outer.most, outer._now)
                    reply = outer.replies.pop(0) if outer.replies else outer.reply
                code, headers, data = reply(body)
                with lock:
                    outer._now -= 1
                if code == 0:  # hang up without a word
                    self.connection.close()
                    return
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"
        self._thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self._thread.start()

    def model(self, **options: Any) -> Endpoint:
        return Endpoint("m", self.address, EndpointOptions(**{**QUICK, **options}))

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


# ---- failing


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(server, code):
    server.replies = [refuse(code)] * 3
    model = server.model()
    assert model.chat(HELLO).text == "Hello 0"
    assert (model.usage.requests, model.usage.retries, len(server.bodies)) == (1, 3, 4)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_told_at_once(server, code):
    server.reply = refuse(code)
    with pytest.raises(UserError, match=f"answered {code}"):
        server.model().chat(HELLO)
    assert len(server.bodies) == 1


def test_after_the_last_retry_the_refusal_is_told(server):
    server.reply = refuse(503)
    with pytest.raises(UserError, match="answered 503"):
        server.model(retries=2).chat(HELLO)
    assert len(server.bodies) == 3


def test_a_server_that_hangs_up_or_is_not_there_is_asked_again(server):
    server.replies = [lambda body: (0, {}, b"")] * 2
    assert server.model().chat(HELLO).text == "Hello 0"
    with pytest.raises(UserError, match="does not answer"):
        Endpoint("m", "http://127.0.0.1:9/v1", EndpointOptions(retries=1, **QUICK)).chat(HELLO)


def test_a_server_that_is_too_slow_is_given_up(server):
    server.reply = lambda body: (time.sleep(0.6), fine(body))[1]
    with pytest.raises(UserError, match="does not answer"):
        server.model(timeout=0.1, retries=1).chat(HELLO)


def test_the_pause_is_what_the_server_asks_for(server):
    server.replies = [refuse(429, Retry_After="7"), refuse(429, Retry_After="0")]
    model, pauses = server.model(first_wait=2.0), []
    model.wire.sleep = pauses.append
    model.chat(HELLO)
    assert pauses[0] == 7
    assert 2 <= pauses[1] <= 4  # between half and all of 2 * 2


def test_a_pause_that_is_too_long_is_told(server):
    server.replies = [refuse(429, Retry_After="3600")]
    with pytest.raises(UserError, match="asks to wait 3600 s"):
        server.model().chat(HELLO)


def test_retry_after_is_a_number_or_a_date():
    assert retry_after(None) is None
    assert retry_after("12.5") == 12.5
    assert retry_after("-3") == 0
    assert retry_after("soon") is None
    assert retry_after(email.utils.formatdate(time.time() + 90, usegmt=True)) == pytest.approx(90, abs=2)
    assert retry_after(email.utils.formatdate(time.time() - 90, usegmt=True)) == 0


@pytest.mark.parametrize("data", [b"data: {", b'data: {"choices": [{"delta"', b"data: \xff\n\n"])
def test_a_stream_of_another_form_is_one_sentence(server, data):
    server.reply = lambda body: (200, {}, data)
    with pytest.raises(UserError, match="not in OpenAI's form"):
        list(server.model().stream_chat(HELLO))


# ---- pace, count, cache


def test_no_minute_holds_more_than_is_allowed():
    now, pauses = [100.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    pace = Pace(EndpointOptions(requests_per_minute=30, tokens_per_minute=600), lambda: now[0], sleep)
    for _ in range(3):
        pace.wait(10)
    assert pauses == pytest.approx([2, 2])  # 30 requests a minute
    pace.correct(10, 110)
    pace.wait(10)
    assert pauses[2] == pytest.approx(11)  # 110 tokens at 10 a second


def test_no_more_at_once_than_allowed(server):
    server.reply = lambda body: (time.sleep(0.05), fine(body))[1]
    server.model(concurrency=3).generate(["a"] * 9)
    assert server.most == 3


def test_tokens_and_cost_are_counted(server):
    model = server.model(price=Price(prompt=100, answer=1000))
    model.generate(["a", "b"])
    usage = model.usage
    assert (usage.requests, usage.prompt_tokens, usage.answer_tokens) == (2, 60, 40)
    assert usage.cost == pytest.approx((60 * 100 + 40 * 1000) / 1e6)


def test_a_request_is_sent_once_and_then_read_from_disk(server, tmp_path):
    model = server.model(cache=tmp_path)
    first = model.generate(["a", "b"], Sampling(seed=1))
    again = server.model(cache=tmp_path)
    assert again.generate(["a", "b"], Sampling(seed=1)) == first
    assert (again.usage.cached, again.usage.requests, len(server.bodies)) == (2, 0, 2)
    again.generate(["a"], Sampling(seed=2))
    Endpoint("other", server.address, EndpointOptions(cache=tmp_path)).generate(["a"], Sampling(seed=1))
    assert len(server.bodies) == 4


def test_the_cache_is_whole_under_threads_and_damage(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    model = server.model(cache=tmp_path, concurrency=16)
    assert {answer.text for answer in model.generate(["same"] * 64)} == {"Hello 0"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1  # nothing half-written is left
    assert b"secret" not in files[0].read_bytes()
    files[0].write_bytes(b'{"choices": [')
    assert model.generate(["same"])[0].text == "Hello 0"
    assert json.loads(files[0].read_bytes())


def test_what_cannot_be_read_is_not_kept(server, tmp_path):
    server.replies = [lambda body: (200, {}, b'{"choices": []}')]
    model = server.model(cache=tmp_path)
    with pytest.raises(UserError, match="not in OpenAI's form"):
        model.chat(HELLO)
    assert model.chat(HELLO).text == "Hello 0"


# ---- form


def test_every_option_is_sent_and_nothing_else(server):
    options = {"temperature": 0.5, "top_k": 5, "min_p": 0.1, "presence_penalty": 0.2, "frequency_penalty": 0.3}
    server.model().generate(["a"], Sampling(max_tokens=9, logit_bias={7: -5}, top_alternatives=2, n=2, **options))
    expected = {"model": "m", "prompt": "a", "max_tokens": 9, "logit_bias": {"7": -5}, "logprobs": 2, "n": 2, **options}
    assert server.bodies[0] == expected


def test_forms_are_sent_as_endpoints_name_them(server):
    forms = [json_schema({"type": "object"}), regex("a+"), choice(["x", "y"]), grammar('start: "x"')]
    for form in forms:
        server.model().chat(HELLO, Sampling(constraint=form))
    schema, expression, one_of, rules = server.bodies
    assert schema["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert expression["guided_regex"] == "a+"
    assert one_of["guided_choice"] == ["x", "y"]
    assert rules["guided_grammar"] == 'start: "x"'


def test_several_answers_and_the_best_of_them(server):
    answer = server.model().chat(HELLO, Sampling(n=3))
    assert [answer.text, *(other.text for other in answer.others)] == ["Hello 0", "Hello 1", "Hello 2"]
    with pytest.raises(UserError, match="no log-probabilities"):
        server.model().chat(HELLO, Sampling(strategy=BestOf(count=3)))
    with pytest.raises(UserError, match="searches by itself"):
        server.model().chat(HELLO, Sampling(strategy=Beam()))

    def with_log_probs(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        content = [{"message": {"content": str(p)}, "logprobs": {"content": [{"logprob": p}]}} for p in (-3, -1, -2)]
        return 200, {}, json.dumps({"choices": content}).encode()

    server.reply = with_log_probs
    best = server.model().chat(HELLO, Sampling(n=2, strategy=BestOf(count=3)))
    assert (best.text, best.log_probs, best.others[0].text) == ("-1", [-1.0], "-2")


# ---- scoring


def echoing(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """A token a character, each at -1 but vowels at -2; the most probable is at -1."""
    text = body["prompt"]
    told = {
        "tokens": list(text),
        "token_logprobs": [None, *(-2.0 if letter in "aeiou" else -1.0 for letter in text[1:])],
        "top_logprobs": [None, *({"x": -1.0} for _ in text[1:])],
        "text_offset": list(range(len(text))),
    }
    return 200, {}, json.dumps({"choices": [{"text": text, "logprobs": told}]}).encode()


def test_continuations_are_scored_where_the_text_is_echoed(server):
    server.reply = echoing
    bad, good = server.model().log_likelihood([("The sky ", "is"), ("The sky", " k")])
    assert (bad.log_prob, bad.is_greedy, bad.tokens) == (-4.0, False, 3)  # the space belongs to it
    assert (good.log_prob, good.is_greedy, good.tokens) == (-2.0, True, 2)
    with pytest.raises(UserError, match="only after a context"):
        server.model().log_likelihood([(" ", "is")])


def test_a_run_may_call_it_otherwise(server):
    asked = []
    server.reply = lambda body: (asked.append(body["model"]), echoing(body))[1]
    model = server.model()
    known, model.name = model.name, "openai:other@elsewhere"
    model.log_likelihood([("The sky", " k")])
    assert asked == [known]


def test_a_whole_text_is_scored_only_if_every_byte_is_paid_for(server):
    server.reply = echoing
    with pytest.raises(UserError, match="no probability of a text's first token"):
        server.model().score(["hello"])

    def from_a_start(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        told = {"tokens": ["<s>", *body["prompt"]], "token_logprobs": [None, *[-1.0] * len(body["prompt"])]}
        return 200, {}, json.dumps({"choices": [{"logprobs": told}]}).encode()

    server.reply = from_a_start
    score = server.model().score(["hellö"])[0]
    assert (score.total, score.bytes, score.characters) == (-5.0, 6, 5)


@pytest.mark.parametrize("reply", [fine, refuse(400), refuse(404)])
def test_scoring_is_refused_where_nothing_is_echoed(server, reply):
    server.reply = reply
    with pytest.raises(UserError, match="Use generation-based tasks"):
        server.model().log_likelihood([("a", "b")])


@pytest.mark.parametrize("option", ["timeout", "concurrency", "requests_per_minute"])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(UserError, match=f"{option} is out of range"):
        EndpointOptions(**{option: 0})
