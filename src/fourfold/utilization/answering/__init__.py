"""Questions to a folder of documents: answers whose every sentence was found in its source, or an honest no."""

from fourfold.utilization.answering.answers import Answer, Language, Library, Statement, answer_question
from fourfold.utilization.answering.checking import Found, find_quote, find_support
from fourfold.utilization.answering.drafting import draft_questions
from fourfold.utilization.answering.evidence import THRESHOLD, Counts, Evidence, covered, gather, probability
from fourfold.utilization.answering.prompting import messages_for, speaks_to_a_model
from fourfold.utilization.answering.quotes import Citation, choose_quotes
from fourfold.utilization.answering.redaction import Redactor
from fourfold.utilization.answering.sending import Gate, Outgoing
from fourfold.utilization.answering.sentences import Sentence, sentences
from fourfold.utilization.answering.terms import is_chinese, question_terms

__all__ = [
    "THRESHOLD",
    "Answer",
    "Citation",
    "Counts",
    "Evidence",
    "Found",
    "Gate",
    "Language",
    "Library",
    "Outgoing",
    "Redactor",
    "Sentence",
    "Statement",
    "answer_question",
    "choose_quotes",
    "covered",
    "draft_questions",
    "find_quote",
    "find_support",
    "gather",
    "is_chinese",
    "messages_for",
    "probability",
    "question_terms",
    "sentences",
    "speaks_to_a_model",
]
