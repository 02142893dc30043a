"""What leaves for an endpoint: marks in place of what identifies, leave first, costs capped."""

from __future__ import annotations

from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.inference import Endpoint, Generation, Price, Sampling
from fourfold.utilization.answering import Gate, Outgoing, Redactor, answer_question
from fourfold.utilization.answering.redaction import valid_card, valid_chinese_id, valid_iban


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("Write to ann.lee+x@example.co.uk today.", "Write to [EMAIL-1] today."),
        ("电话13912345678，找王工。", "电话[PHONE-1]，找王工。"),
        ("Call +44 20 7946 0958 now.", "Call [PHONE-1] now."),
        ("Call (415) 555-2671 now.", "Call [PHONE-1] now."),
        ("座机 010-62345678 转 3", "座机 [PHONE-1] 转 3"),
        ("身份证 11010519491231002X 号", "身份证 [ID-1] 号"),
        ("SSN 536-90-4399.", "SSN [ID-1]."),
        ("Card 4111 1111 1111 1111.", "Card [CARD-1]."),
        ("IBAN GB82 WEST 1234 5698 7654 32", "IBAN [IBAN-1]"),
        ("password: hunter22!", "password: [SECRET-1]"),
        ("密码是abc12345，", "密码是[SECRET-1]，"),
        ("sk-abcdefghijklmnop1234 and AKIAABCDEFGHIJKLMNOP", "[KEY-1] and [KEY-2]"),
        ("db://ann:s3cret@host/x", "db://ann:[SECRET-1]@host/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[KEY-1]"),
    ],
)
def test_values_become_marks_and_come_back(text: str, mark: str) -> None:
    redactor = Redactor()
    assert redactor.redact(text) == mark
    assert redactor.restore(mark) == text


@pytest.mark.parametrize(
    "text",
    [
        "In 2018 there were 59,551 packages in version 11.2.0.",
        "See RFC 2822, pages 123-456, and order 4111 1111 1111 1112.",  # the check digit is wrong
        "身份证 110105194912310021 号",
        "a@b, x = 12345678901234567890",
        "2026-11-27 21:19:05 took 1234567 ms",
        "The secret of good soup is time.",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert Redactor().redact(text) == text


def test_equal_values_share_a_mark_and_a_model_may_forget_the_brackets() -> None:
    redactor = Redactor()
    assert redactor.redact("a@b.org, c@d.org, a@b.org") == "[EMAIL-1], [EMAIL-2], [EMAIL-1]"
    assert redactor.redact("again c@d.org [EMAIL-1]") == "again [EMAIL-2] [EMAIL-1]"
    assert redactor.restore("EMAIL-2 or [EMAIL-1], not EMAIL-9") == "c@d.org or a@b.org, not EMAIL-9"
    assert redactor.counts == {"EMAIL": 2}


def test_check_digits_against_published_examples() -> None:
    assert valid_chinese_id("11010519491231002X")
    assert not valid_chinese_id("110105194912310020")
    assert valid_card("4111 1111 1111 1111")
    assert not valid_card("4111 1111 1111 1112")
    assert valid_iban("DE89 3704 0044 0532 0130 00")
    assert not valid_iban("DE89 3704 0044 0532 0130 01")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An endpoint whose wire is a dictionary: what was sent, and what it answers."""
    state: dict[str, Any] = {"sent": [], "reply": "The printer contract ends on 31 March 2027."}

    def chat(self: Endpoint, messages: Any, sampling: Sampling | None = None) -> Generation:
        state["sent"].append([m["content"] for m in messages])
        return Generation(text=state["reply"], prompt_tokens=1000, answer_tokens=100)

    monkeypatch.setattr(Endpoint, "chat", chat)
    return state


def gate(permitted: list[Outgoing], **options: Any) -> Gate:
    return Gate(Endpoint("m", "https://api.example.com/v1"), permit=permitted.append, **options)


QUESTION = "When does the printer contract end?"


def test_leave_is_asked_once_and_says_what_goes_where(library, wire: dict[str, Any]) -> None:
    asked: list[Outgoing] = []
    model = gate(asked, price=Price(prompt=1.0, answer=2.0))
    assert answer_question(QUESTION, library, model=model).statements[0].by_model
    answer_question(QUESTION, library, model=model)
    (first,) = asked
    assert (first.host, first.questions, first.encrypted, first.redacted) == ("api.example.com", 1, True, False)
    assert first.characters == sum(map(len, wire["sent"][0]))
    assert first.texts == sum(content.count("Text: ") for content in wire["sent"][0])
    assert "api.example.com" in str(first)
    assert f"{first.characters:,} characters" in str(first)
    assert len(wire["sent"]) == 2
    assert model.spent == pytest.approx(2 * (1000 * 1.0 + 100 * 2.0) / 1e6)


def test_a_refusal_sends_nothing(library, wire: dict[str, Any]) -> None:
    def refuse(outgoing: Outgoing) -> None:
        raise UserError("nothing was sent.")

    model = Gate(Endpoint("m", "https://api.example.com/v1"), permit=refuse)
    with pytest.raises(UserError, match="nothing was sent"):
        answer_question(QUESTION, library, model=model)
    assert wire["sent"] == []


def test_the_cost_cap_is_kept_before_sending(library, wire: dict[str, Any]) -> None:
    model = gate([], price=Price(prompt=1000.0, answer=1000.0), max_cost=1.2)
    answer_question(QUESTION, library, model=model)
    with pytest.raises(UserError, match="cost cap is reached"):
        answer_question(QUESTION, library, model=model)
    assert len(wire["sent"]) == 1
    with pytest.raises(UserError, match="needs a price"):
        gate([], max_cost=1.0)


def test_redacted_text_leaves_and_the_answer_is_whole(make_library, wire: dict[str, Any]) -> None:
    library = make_library({"a.txt": "The printer contract is kept by ann@example.com in Berlin since 2019."})
    wire["reply"] = "The printer contract is kept by [EMAIL-1]."
    answer = answer_question("Who keeps the printer contract?", library, model=gate([], redactor=Redactor()))
    assert "ann@example.com" not in str(wire["sent"])
    assert "[EMAIL-1]" in str(wire["sent"])
    assert answer.text == "The printer contract is kept by ann@example.com."
    assert answer.statements[0].by_model
