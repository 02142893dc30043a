"""Every kind of instruction, followed and not, worked out by hand; then all of them against lm-eval's."""

import random

import pytest

from fourfold.errors import UserError
from fourfold.evaluation.instructions import CHECKS, can_tell_languages, follow, needs_languages
from fourfold.evaluation.instructions.words import capital_words, count_sentences, count_words

ENGLISH = "This is an English sentence about the weather and the garden."

CASES = {
    "keywords:existence": ({"keywords": ["cat", "Dog"]}, "Concatenate a dog", "a cat"),
    "keywords:frequency": ({"keyword": "cat", "frequency": 2, "relation": "at least"}, "Cat, category", "cat"),
    "keywords:forbidden_words": ({"forbidden_words": ["cat"]}, "category", "A Cat!"),
    "keywords:letter_frequency": ({"letter": "Q", "let_frequency": 2, "let_relation": "less than"}, "quiz", "Qq"),
    "language:response_language": ({"language": "de"}, "Das ist ein schöner Tag im Garten.", ENGLISH),
    "length_constraints:number_sentences": ({"num_sentences": 3, "relation": "less than"}, "A b. C d.", "A! B? C d"),
    "length_constraints:number_words": ({"num_words": 3, "relation": "at least"}, "one two-three", "one two"),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "***\na\n***\nb", "a\n***\n***\nb"),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        "One.\n\n'then, all",
        "Then.\n\nOne",
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[name] in [town]", "[name]"),
    "detectable_content:postscript": ({"postscript_marker": "P.P.S"}, "Bye.\np.p. s: more", "P.S. more"),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "* a\n- b\n**c**", "* a\n- b\n- c"),
    "detectable_format:constrained_response": ({}, "Well. My answer is no. Bye", "my answer is no."),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*a* and *b*", "*a* and * *"),
    "detectable_format:multiple_sections": (
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION 2\nb",
        "Section 1\na\nSection 2\nb",
    ),
    "detectable_format:json_format": ({}, '```json\n{"a": [1]}\n```', '{"a": 1} done'),
    "detectable_format:title": ({}, "<<Joy>>\ntext", "<< >> <Joy>"),
    "combination:two_responses": ({}, "one\n******\ntwo", "one******one"),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Say it."}, " say it. It.", "It. Say it."),
    "startend:end_checker": ({"end_phrase": "The end."}, 'So. the end."', "The end. Bye"),
    "startend:quotation": ({}, '\n"all of it"', '"not" all'),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        "WELL-KNOWN and LOUD",
        "LOUD and Proud",
    ),
    "change_case:english_capital": ({}, ENGLISH.upper(), ENGLISH),
    "change_case:english_lowercase": ({}, ENGLISH.lower(), ENGLISH),
    "punctuation:no_comma": ({}, "a b，c", "a, b"),
}


def test_all_25_kinds_have_a_case():
    assert len(CHECKS) == 25
    assert CASES.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CASES)
def test_followed_and_not(name):
    if needs_languages([name]) and not can_tell_languages():
        pytest.skip("langdetect is not installed")
    given, yes, no = CASES[name]
    assert follow(yes, [name], [given]).strict == [True]
    assert follow(no, [name], [given]).strict == [False]


def test_loose_forgives_an_opening_a_closing_and_asterisks():
    names, given = ["punctuation:no_comma", "startend:quotation"], [{}, {}]
    found = follow('Sure, here it is:\n**"text"**\nHope, this helps', names, given)
    assert found.strict == [False, False]
    assert found.loose == [True, True]


def test_an_empty_answer_follows_nothing():
    found = follow(" \n", ["punctuation:no_comma"], [{}])
    assert found.strict == found.loose == [False]
    with pytest.raises(UserError, match="unknown instruction 'punctuation:no_coma'"):
        follow("x", ["punctuation:no_coma"], [{}])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("no end", 1), ("One. Two! Three?", 3), ("Dr. Smith came at 5 p.m. today", 1), ("3.5 is. It is.", 2),
        ("Wait... what? Yes.", 2), ("a heading\nand a line.", 1), ("一句。两句！三句", 3),
        ('He said "Go." He left.', 2), ("J. K. Rowling wrote. It sold.", 2), ("See e.g. this one.", 1),
        ("Really?! Yes.", 2),
    ],
)  # fmt: skip
def test_sentences(text, count):
    assert count_sentences(text) == count


def test_words():
    assert count_words("It's 3.5 o_o नमस्ते") == 6
    assert capital_words("DON'T say U.S. or A&B, *OK* HELLO.") == ["DO", "N'T", "U.S.", "A", "B", "*OK*", "HELLO."]


PIECES = [
    "P.S. hello", "P.P.S bye", "p. p. s. x", "***", "\n\n", "******", "<<title>>", "<<>>", "* item", "- item",
    "**bold**", "*em*", "**", "[name]", "[a][b]", "Section 1", "SECTION 2", "My answer is no.", '"quoted"', '"',
    '{"a": [1,2]}', '```json\n{"a":1}\n```', "Hello there.", "Wow! Really? yes", "COMMA, here", "NO WAY",
    "DON'T IT'S FINE", "lower case", "Le chat est sur la table et mange.", "is there anything else i can help with?",
    "\n", "  ", "'Tis", "word", "qqq",
]  # fmt: skip
ARGUMENTS = {
    "keywords:existence": {"keywords": ["hello", "word"]},
    "keywords:letter_frequency": {"letter": "q", "let_frequency": 2, "let_relation": "at least"},
    "language:response_language": {"language": "fr"},
    "length_constraints:number_words": {"num_words": 9, "relation": "less than"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "word"},
    "detectable_format:number_bullet_lists": {"num_bullets": 1},
    "startend:end_checker": {"end_phrase": "Is there anything else I can help with?"},
}


@pytest.fixture(scope="module")
def peer():
    """lm-eval's checks; what they need from NLTK's downloads is not looked for, and not compared."""
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("langdetect")
    pytest.importorskip("lm_eval")
    patch = pytest.MonkeyPatch()
    patch.setattr(nltk.data, "find", lambda *a, **k: None)
    registry = pytest.importorskip("lm_eval.tasks.ifeval.instructions_registry")
    yield registry.INSTRUCTION_DICT
    patch.undo()


@pytest.mark.parametrize(
    "name", [n for n in CASES if n not in ("length_constraints:number_sentences", "change_case:capital_word_frequency")]
)
@pytest.mark.filterwarnings("ignore")
def test_equals_lm_eval_on_random_answers(peer, name):
    can_tell_languages()
    follow(ENGLISH, ["change_case:english_capital"], [{}])  # seeds langdetect
    given = ARGUMENTS.get(name, CASES[name][0])
    theirs = peer[name](name)
    theirs.build_description(**given)
    draw = random.Random(name)
    for _ in range(150):
        text = draw.choice([" ", "\n"]).join(draw.choices(PIECES, k=draw.randint(1, 7)))
        expected = bool(text.strip()) and bool(theirs.check_following(text))
        assert follow(text, [name], [given]).strict == [expected], text
