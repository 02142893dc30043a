"""Drafting questions from documents, for their owner to correct: a first test set in a minute.

Three makers, the best that applies to a passage: a heading that is a question already; a model, where one is given
that can read the passage; else a gap in a sentence, in place of a number, a name or a quoted term. Gaps repeat the
words of their passage, so search finds them more easily than what people ask: they are a start, not a measure.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator
from typing import Any

from fourfold.inference import ChatModel, LanguageModel, Message, Sampling
from fourfold.measures import normalise_answer
from fourfold.progress import track
from fourfold.tokenizers import hard_to_read
from fourfold.utilization.answering.prompting import speaks_to_a_model
from fourfold.utilization.answering.sentences import Sentence, sentences
from fourfold.utilization.answering.terms import held_terms, is_chinese, question_terms, share_held
from fourfold.utilization.retrieval import Passage

GAP = "____"
_SPARE = 6
"""Passages looked at for every question wanted."""
_LONGEST, _LEAST = 280, 4
"""Characters of a sentence that is asked about, and informative terms it must have."""
_TARGETS = (
    re.compile(r"《(?P<it>[^》\n]{2,24})》|“(?P<it2>[^”\n]{2,24})”"),
    re.compile(r"\d[\d,.]*\s?(?:%|年|月|日|[万亿]?[个人元米次种岁名]|[kMGT]?B\b|(?:percent|year|day|hour|second)s?)"),
    re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w.-]*\d)(?![\w-])"),
    re.compile(r"(?<=[a-z,] )[A-Z][\w-]+(?: [A-Z][\w-]+){0,3}"),
    re.compile(r"(?:称为|叫做|名为|位于|成立于|毕业于)(?P<it>[^，。；、（）\s]{2,16})"),
    re.compile(r"\b[a-z]\w*_\w+\b|\b[\w-]+\(\)|(?<=\s)--?[a-z][\w-]+"),
)
_NO_START = re.compile(r"(?:It|This|That|They|These|He|She|His|Her|Such)\b|[此这该其它他她]|\W*\d+[.)]|[a-z(（]")
"""Sentences that point back, scraps, and those that carry the number of their heading."""
_WRITE = {
    "en": "Write one short question that this sentence answers.\n\nSentence: {sentence}\nQuestion:",
    "zh": "请针对下面这句话写一个简短的问题，答案就在这句话里。只写问题。\n\n句子：{sentence}\n问题：",
}
_CLOZE = {"en": "What is missing here? “{text}”", "zh": "这里缺了什么？“{text}”"}

Draft = dict[str, Any]
"""A line of a file of questions: question, answer, source, place, quote, made_by."""


def draft_questions(
    passages: Iterable[Passage], count: int, *, model: ChatModel | None = None, seed: int = 0
) -> list[Draft]:
    """At most `count` questions of different passages, spread over the files, none twice; a seed decides which."""
    chosen = _spread(heapq.nsmallest(_SPARE * count, passages, key=lambda p: _place(p.id, seed)))
    drafts: list[Draft] = []
    seen: set[str] = set()
    for passage in track(chosen, "draft", unit="passages"):
        draft = _draft(passage, model)
        if draft is not None and (key := normalise_answer(draft["question"])) not in seen:
            seen.add(key)
            drafts.append(draft)
        if len(drafts) == count:
            break
    return drafts


def _place(id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {id}".encode()).digest()


def _spread(passages: Iterable[Passage]) -> list[Passage]:
    """One of each file in turn."""
    by_file: dict[str, list[Passage]] = {}
    for passage in passages:
        by_file.setdefault(passage.source, []).append(passage)
    turns = [(turn, at, passage) for at, held in enumerate(by_file.values()) for turn, passage in enumerate(held)]
    return [passage for *_, passage in sorted(turns, key=lambda item: item[:2])]


def _draft(passage: Passage, model: ChatModel | None) -> Draft | None:
    heading = re.sub(r"^[\d.]+\s+", "", passage.heading.rpartition(" > ")[2]).strip()
    if heading.endswith(("?", "？")):
        return {"question": heading, "source": passage.source, "place": passage.place, "made_by": "heading"}
    for sentence in _worth_asking(passage):
        target = _target(sentence.text)
        if model is not None and (question := _written(sentence.text, model)):
            return _record(passage, question, target or sentence.text, sentence, model.name)
        if target:
            language = "zh" if is_chinese(sentence.text) else "en"
            text = " ".join(sentence.text.replace(target, GAP, 1).split())
            return _record(passage, _CLOZE[language].format(text=text), target, sentence, "gap")
    return None


def _record(passage: Passage, question: str, answer: str, sentence: Sentence, maker: str) -> Draft:
    place = {"source": passage.source, "place": passage.place, "quote": sentence.text}
    return {"question": question, "answer": answer, **place, "made_by": maker}


def _worth_asking(passage: Passage) -> Iterator[Sentence]:
    """Sentences that say something by themselves: not too long, with a verb's worth of words, ended by a mark."""
    for sentence in sentences(passage.text):
        ended = sentence.text.endswith((".", "。", "！", "；"))
        fits = ended and len(sentence.text) <= _LONGEST and len(question_terms(sentence.text)) >= _LEAST
        if fits and not _NO_START.match(sentence.text) and not speaks_to_a_model(sentence.text):
            yield sentence


def _target(sentence: str) -> str | None:
    """What a gap can stand for: the first number, name or term that occurs once."""
    for pattern in _TARGETS:
        for match in pattern.finditer(sentence):
            target = next((group for group in match.groupdict().values() if group), match[0]).strip()
            if sentence.count(target) == 1 and not sentence.startswith(target):
                return target
    return None


def _written(sentence: str, model: ChatModel) -> str | None:
    """A question by the model, if it is one, is about the sentence and does not give its whole away."""
    if isinstance(model, LanguageModel) and hard_to_read(model.tokenizer.encode, [sentence]):
        return None
    language = "zh" if is_chinese(sentence) else "en"
    asked: list[Message] = [{"role": "user", "content": _WRITE[language].format(sentence=sentence)}]
    written = model.chat(asked, Sampling(temperature=0, max_tokens=48)).text.strip().split("\n")[0].strip(' "“”')
    terms, held = question_terms(written), held_terms(sentence)
    known = sum(share_held(term, held) for term in terms)
    whole = len(terms) >= 0.9 * len(question_terms(sentence)) and known >= 0.9 * len(terms)
    good = written.endswith(("?", "？")) and known >= 2 and known >= 0.5 * len(terms) and not whole
    return written if good else None
