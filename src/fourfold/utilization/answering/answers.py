"""A question to the documents: retrieve, weigh the evidence, quote, let a model word it, check every sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from fourfold.inference import ChatModel, LanguageModel, Sampling
from fourfold.tokenizers import hard_to_read
from fourfold.utilization.answering.checking import find_support
from fourfold.utilization.answering.evidence import THRESHOLD, Counts, Evidence, covered, gather
from fourfold.utilization.answering.prompting import messages_for, shown_texts, speaks_to_a_model
from fourfold.utilization.answering.quotes import Citation, choose_quotes
from fourfold.utilization.answering.sentences import sentences
from fourfold.utilization.answering.terms import held_terms, is_chinese, question_terms, share_held
from fourfold.utilization.retrieval import Hit, Method, Passage

Language = Literal["en", "zh"]
QUOTES = 3
_NOTES = {
    "en": {
        "unread": "{name} can hardly read this ({reason}): quotes only",
        "steering": "{n} of the texts speak to a language model; that part was kept from it",
        "unfounded": "nothing the model wrote stands in the sources: the answer is a quote",
    },
    "zh": {
        "unread": "{name} 几乎读不懂这些文本（{reason}），只给原文引用",
        "steering": "{n} 段文本含有写给语言模型的话，这部分没有交给模型",
        "unfounded": "模型写的内容在原文中找不到依据，答案直接引用原文",
    },
}
ANSWER = Sampling(max_tokens=80, temperature=0)


class Library(Counts, Protocol):
    """What is asked: a `DocumentIndex` is one."""

    def search(self, question: str, k: int = ..., method: Method = ...) -> list[Hit]: ...
    def passage(self, id: str) -> Passage: ...
    def passages(self) -> Iterator[Passage]: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence of the answer and the citations it rests on."""

    text: str
    numbers: tuple[int, ...]
    by_model: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the documents say to a question; every statement has a citation that was found in its file."""

    question: str
    language: Language
    evidence: Evidence
    threshold: float
    statements: tuple[Statement, ...] = ()
    """Empty where the documents do not hold an answer."""
    citations: tuple[Citation, ...] = ()
    """Those the statements refer to first, then the other quotes worth reading."""
    dropped: tuple[str, ...] = ()
    """Sentences the model wrote that stand in no source: they are no part of the answer."""
    hits: tuple[Hit, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader should know: why no model was used, that a text was kept from it."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        return bool(self.statements)

    @property
    def text(self) -> str:
        return ("" if self.language == "zh" else " ").join(statement.text for statement in self.statements)


def answer_question(
    question: str,
    library: Library,
    *,
    model: ChatModel | None = None,
    k: int = 8,
    method: Method = "bm25",
    threshold: float = THRESHOLD,
    language: Language | None = None,
    sampling: Sampling = ANSWER,
) -> Answer:
    """Answer from the documents, or say that they do not hold one.

    Without a model, or with one that cannot read the texts, the answer is the best quote itself.
    """
    began = time.perf_counter()
    hits = tuple(library.search(question, k, method))
    evidence = gather(question, [f"{hit.passage.heading}\n{hit.passage.text}" for hit in hits], library)
    answer = Answer(
        question=question,
        language=language or ("zh" if is_chinese(question) else "en"),
        evidence=evidence,
        threshold=threshold,
        hits=hits,
    )
    if evidence.confidence >= threshold:
        answer = _quoted(answer)
    found = time.perf_counter()
    if model is not None and answer.answered:
        answer = _worded(answer, model, sampling)
    seconds = {"finding": found - began}
    if model is not None:
        seconds["wording"] = time.perf_counter() - found
    return replace(answer, seconds=seconds)


def _quoted(answer: Answer) -> Answer:
    """The best quote as the answer, with the others beside it."""
    citations = choose_quotes(answer.hits, answer.evidence.weights, QUOTES)
    best = [Statement(text=" ".join(c.quote.split()), numbers=(c.number,)) for c in citations[:1]]
    return replace(answer, statements=tuple(best), citations=tuple(citations))


def _worded(answer: Answer, model: ChatModel, sampling: Sampling) -> Answer:
    """The model's sentences that stand in the sources, in place of the quote; the quote where none does."""
    texts = shown_texts(answer.citations)
    if isinstance(model, LanguageModel) and (reason := hard_to_read(model.tokenizer.encode, [answer.question, *texts])):
        return _noting(answer, "unread", name=model.name, reason=reason)
    steering = sum(speaks_to_a_model(c.passage.text) for c in answer.citations)
    if steering:
        answer = _noting(answer, "steering", n=steering)
    reply = model.chat(messages_for(answer.question, answer.citations, answer.language), sampling)
    written = [part.text for part in sentences(reply.text)]
    if reply.finish_reason == "length" and len(written) > 1:
        written = written[:-1]  # cut off in the middle
    return _checked(answer, written)


def _checked(answer: Answer, written: Sequence[str]) -> Answer:
    """Keep the sentences that find their support, number what they rest on, and put the other quotes after it."""
    cited: list[Citation] = []
    kept: list[Statement] = []
    dropped: list[str] = []
    for text in dict.fromkeys(written):
        found = _support(text, answer)
        if found is None:
            dropped.append(text)
            continue
        known = next((c for c in cited if _same_place(c, found)), None)
        if known is None:
            known = replace(found, number=len(cited) + 1)
            cited.append(known)
        kept.append(Statement(text=text, numbers=(known.number,), by_model=True))
    if not kept:
        return replace(_noting(answer, "unfounded"), dropped=tuple(dropped))
    others = [c for c in answer.citations if not any(_same_place(c, one) for one in cited)]
    numbered = [replace(c, number=number) for number, c in enumerate([*cited, *others][: QUOTES + len(cited)], 1)]
    return replace(answer, statements=tuple(kept), citations=tuple(numbered), dropped=tuple(dropped))


def _support(text: str, answer: Answer) -> Citation | None:
    """The first of the passages, in their order, in which the sentence stands, in words about the question.

    A question is no answer, nor is what only repeats the question's words; and what a document says to a model is
    nothing it says to the reader.
    """
    asked = held_terms(answer.question)
    if text.endswith(("?", "？")) or all(share_held(term, asked) == 1 for term in question_terms(text)):
        return None
    for citation in answer.citations:
        found = find_support(text, citation.passage.text)
        quote = citation.passage.text[found.start : found.end] if found else ""
        if found and covered(answer.evidence.weights, quote) > 0 and not speaks_to_a_model(quote):
            return replace(citation, start=found.start, end=found.end, how=found.how)
    return None


def _same_place(a: Citation, b: Citation) -> bool:
    return a.passage.id == b.passage.id and a.start < b.end and b.start < a.end


def _noting(answer: Answer, note: str, **values: object) -> Answer:
    return replace(answer, notes=(*answer.notes, _NOTES[answer.language][note].format(**values)))
