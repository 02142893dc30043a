"""IFEval's 25 kinds of instruction (Zhou et al. 2023, arXiv 2311.07911, table 1), each a function of an answer.

Names and argument names are those of the data set. Where the paper's text leaves a choice open, its authors'
program decides and the docstring says how; departures are listed in docs/papers.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from fourfold.evaluation.instructions.words import capital_words, count_sentences, count_words, is_language

Arguments = Mapping[str, Any]
"""By the data set's names: counts are whole numbers, everything else text or lists of text."""
Check = Callable[[str, Arguments], bool]

CHECKS: dict[str, Check] = {}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCE = re.compile(r"^```(?:json|Json|JSON)?|```$")


def check(name: str) -> Callable[[Check], Check]:
    def keep(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return keep


def compared(count: int, relation: str, threshold: int) -> bool:
    """ "at least" or "less than" the threshold."""
    return count >= threshold if relation == "at least" else count < threshold


@check("keywords:existence")
def has_keywords(answer: str, given: Arguments) -> bool:
    """Every keyword stands somewhere, inside a longer word too, case ignored; a keyword is a pattern."""
    return all(re.search(keyword, answer, re.IGNORECASE) for keyword in given["keywords"])


@check("keywords:frequency")
def keyword_frequency(answer: str, given: Arguments) -> bool:
    found = re.findall(given["keyword"].strip(), answer, re.IGNORECASE)
    return compared(len(found), given["relation"], given["frequency"])


@check("keywords:forbidden_words")
def lacks_words(answer: str, given: Arguments) -> bool:
    """None stands as a whole word."""
    return not any(re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in given["forbidden_words"])


@check("keywords:letter_frequency")
def letter_frequency(answer: str, given: Arguments) -> bool:
    count = answer.lower().count(given["letter"].strip().lower())
    return compared(count, given["let_relation"], given["let_frequency"])


@check("language:response_language")
def response_language(answer: str, given: Arguments) -> bool:
    """The language the whole answer looks most like; one without any letters passes."""
    return is_language(answer, given["language"])


@check("length_constraints:number_sentences")
def number_sentences(answer: str, given: Arguments) -> bool:
    return compared(count_sentences(answer), given["relation"], given["num_sentences"])


@check("length_constraints:number_words")
def number_words(answer: str, given: Arguments) -> bool:
    return compared(count_words(answer), given["relation"], given["num_words"])


@check("length_constraints:number_paragraphs")
def number_paragraphs(answer: str, given: Arguments) -> bool:
    """Paragraphs parted by ***; an empty one counts at neither end and is wrong in between."""
    paragraphs = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(paragraphs[1:-1]) and sum(map(bool, paragraphs)) == int(given["num_paragraphs"])


@check("length_constraints:nth_paragraph_first_word")
def nth_paragraph_first_word(answer: str, given: Arguments) -> bool:
    """So many paragraphs parted by empty lines, and the n-th, empty ones counted in its place, begins with the word."""
    paragraphs = [part.strip() for part in answer.split("\n\n")]
    filled, wanted = sum(map(bool, paragraphs)), int(given["nth_paragraph"])
    if wanted > filled or not paragraphs[wanted - 1]:
        return False
    opening = paragraphs[wanted - 1].split()[0].lstrip("'").lstrip('"').lower()
    word = re.split(r"""[.,?!'"]""", opening)[0]
    return filled == int(given["num_paragraphs"]) and word == str(given["first_word"]).lower()


@check("detectable_content:number_placeholders")
def number_placeholders(answer: str, given: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= int(given["num_placeholders"])


@check("detectable_content:postscript")
def postscript(answer: str, given: Arguments) -> bool:
    """The marker stands anywhere, case and a space between its letters ignored."""
    marker = given["postscript_marker"].strip()
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(patterns.get(marker, marker.lower()), answer.lower()))


@check("detectable_format:number_bullet_lists")
def number_bullet_lists(answer: str, given: Arguments) -> bool:
    """Exactly so many lines begin with * or -; a line of emphasis that begins with ** is none."""
    stars = re.findall(r"^\s*\*[^*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == int(given["num_bullets"])


@check("detectable_format:constrained_response")
def constrained_response(answer: str, given: Arguments) -> bool:
    return any(option in answer for option in OPTIONS)


@check("detectable_format:number_highlighted_sections")
def number_highlighted_sections(answer: str, given: Arguments) -> bool:
    """*so* and **so**, within a line and not empty; one after the other, as the authors count them."""
    single = [part.strip("*") for part in re.findall(r"\*[^\n*]*\*", answer)]
    double = [part[2:-2] for part in re.findall(r"\*\*[^\n*]*\*\*", answer)]
    return sum(bool(part.strip()) for part in single + double) >= int(given["num_highlights"])


@check("detectable_format:multiple_sections")
def multiple_sections(answer: str, given: Arguments) -> bool:
    """At least so many times the word that opens a section, with a number."""
    marker = given["section_spliter"].strip()
    return len(re.findall(rf"{marker}\s?\d+", answer)) >= int(given["num_sections"])


@check("detectable_format:json_format")
def json_format(answer: str, given: Arguments) -> bool:
    """All of it is one JSON value; a Markdown fence around it is allowed."""
    try:
        json.loads(_FENCE.sub("", answer.strip()).strip())
    except ValueError:
        return False
    return True


@check("detectable_format:title")
def title(answer: str, given: Arguments) -> bool:
    found = re.findall(r"<<[^\n]+>>", answer)
    return any(part.lstrip("<").rstrip(">").strip() for part in found)


@check("combination:two_responses")
def two_responses(answer: str, given: Arguments) -> bool:
    """Two different texts parted by ******, with nothing empty between them."""
    parts = [part.strip() for part in answer.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


@check("combination:repeat_prompt")
def repeat_prompt(answer: str, given: Arguments) -> bool:
    return answer.strip().lower().startswith(str(given["prompt_to_repeat"]).strip().lower())


@check("startend:end_checker")
def end_checker(answer: str, given: Arguments) -> bool:
    """The phrase is the end, quotation marks after it aside."""
    return answer.strip().strip('"').lower().endswith(str(given["end_phrase"]).strip().lower())


@check("startend:quotation")
def quotation(answer: str, given: Arguments) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@check("change_case:capital_word_frequency")
def capital_word_frequency(answer: str, given: Arguments) -> bool:
    return compared(len(capital_words(answer)), given["capital_relation"], given["capital_frequency"])


@check("change_case:english_capital")
def english_capital(answer: str, given: Arguments) -> bool:
    return answer.isupper() and is_language(answer, "en")


@check("change_case:english_lowercase")
def english_lowercase(answer: str, given: Arguments) -> bool:
    return answer.islower() and is_language(answer, "en")


@check("punctuation:no_comma")
def no_comma(answer: str, given: Arguments) -> bool:
    return "," not in answer
