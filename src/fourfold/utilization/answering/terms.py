"""The words of a question that carry its meaning, and how much of each a text holds.

Terms are those of the index (`retrieval.terms_of`): words where words are spaced, pairs of neighbouring characters
in Chinese. Function words and question words ("what", "什么") tell nothing about where an answer is, so they are
left out of questions; texts keep all of theirs.
"""

from __future__ import annotations

import re
from functools import lru_cache

from fourfold.utilization.retrieval import terms_of

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_ENGLISH = frozenset((
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by",
    "can", "could", "did", "do", "does", "doing", "done", "each", "for", "from", "get", "got", "had", "has", "have",
    "he", "her", "here", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "many", "may", "me",
    "might", "more", "most", "much", "must", "my", "no", "not", "of", "on", "only", "or", "other", "our", "over",
    "shall", "she", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "us", "was", "we", "were", "what", "when", "where", "which", "who",
    "whom", "whose", "why", "will", "with", "would", "you", "your",
))  # fmt: skip
_CHINESE = re.compile(
    "什么时候|什麼時候|为什么|為什麼|是什么|是什麼|是多少|怎么样|怎麼樣|有没有|有沒有|是不是|什么|什麼|甚么|甚麼|哪些|哪个|哪個|哪里|哪裡|"
    "哪儿|哪年|哪位|多少|多久|几个|幾個|怎么|怎麼|怎样|怎樣|如何|为何|為何|是否|能否|可以|请问|請問|我们|我們|你们|你們|他们|他們|"
    "时候|時候|哪|谁|誰|几|幾|是|的|了|吗|嗎|呢|吧|在|和|与|與|及|有|被|把|于|於|由|从|從|到|对|對|而|或|以|也|都|就|"
    "这|這|那|其|之|我|你|您|他|她|它|们|們|个|個|为|為"
)
_ENDINGS = ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e")
_SHORTEST_STEM = 3
HALF_PAIR = 0.25
"""What one character of a Han pair counts for where the pair does not stand: "高" of "多高" in "高达"."""


def question_terms(question: str) -> list[str]:
    """The informative terms of a question, each once, in order."""
    cut = _CHINESE.sub(" ", question)
    return list(dict.fromkeys(term for term in terms_of(cut) if term not in _ENGLISH))


@lru_cache(maxsize=4096)
def held_terms(text: str) -> frozenset[str]:
    """All stems, Han pairs and single Han characters of a text: what `share_held` looks into."""
    terms = {stem(term) for term in terms_of(text)}
    return frozenset(terms | {character for term in terms if _HAN.match(term) for character in term})


def share_held(term: str, held: frozenset[str]) -> float:
    """1 where a text with `held_terms` holds the term, a part of it for half a Han pair, else 0."""
    if stem(term) in held:
        return 1.0
    if len(term) == 2 and _HAN.match(term):
        return HALF_PAIR * sum(character in held for character in term)
    return 0.0


def stem(word: str) -> str:
    """A word without its commonest English ending: enough to meet "installing" and "installed" in "install"."""
    if not word.isascii() or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    doubled = len(word) > _SHORTEST_STEM and word[-1] == word[-2]
    return word[:-1] if doubled or word.endswith(("i", "y")) else word


def is_chinese(text: str) -> bool:
    """Whether a text is written mostly in Han characters; one says as much as three letters."""
    han = len(_HAN.findall(text))
    return 3 * han > sum(character.isalpha() for character in text) - han
