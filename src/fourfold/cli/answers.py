"""How an answer from documents looks: in a terminal, and as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

    from fourfold.utilization.answering import Answer, Citation

_WORDS = {
    "en": {
        "absent": "Not in your documents",
        "nearest": "Nearest, and probably not what you ask for: ",
        "unknown": "Nowhere in your documents: ",
        "dropped": "{n} sentence(s) of the model dropped: they stand in no source.",
        "worded": "in the model's words",
        "welcome": "Ask {folder}. /sources shows the passages of the last answer, /quit leaves.",
        "help": "/sources     the passages of the last answer\n/help        this list\n/quit        leave (or Ctrl-D)",
    },
    "zh": {
        "absent": "文档中没有",
        "nearest": "最接近的地方（很可能答非所问）：",
        "unknown": "文档中从未出现：",
        "dropped": "模型有 {n} 句话在原文中找不到依据，已删去。",
        "worded": "模型转述",
        "welcome": "请提问：{folder}。/sources 显示上一个回答的段落，/quit 退出。",
        "help": "/sources     上一个回答的段落\n/help        本列表\n/quit        退出（或 Ctrl-D）",
    },
}


def words(language: str | None) -> dict[str, str]:
    """The words around an answer."""
    return _WORDS[language or "en"]


def show_answer(answer: Answer) -> None:
    """Answer, then numbered citations, on stdout; remarks on how it came about on stderr."""
    from fourfold.cli.console import say

    text = words(answer.language)
    lines = _answered(answer) if answer.answered else _refused(answer)
    _print(lines)
    for note in answer.notes:
        say(note)
    if answer.dropped:
        say(text["dropped"].format(n=len(answer.dropped)))
    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in answer.seconds.items())
    say(f"confidence {answer.evidence.confidence:.2f} ({answer.threshold:.2f} needed) · {times}")


def show_sources(answer: Answer) -> None:
    """The passages that were found, best first."""
    from rich.text import Text

    for rank, hit in enumerate(answer.hits, 1):
        text = " ".join(hit.passage.text.split())[:400]
        _print([Text.assemble((f"{rank}. {place_of(hit.passage)}", "bold"), f"  {hit.score:.2f}\n{text}")])


def place_of(passage: Any) -> str:
    """File and place, as a reader looks it up."""
    return f"{passage.source}, {passage.place}" if passage.place else str(passage.source)


def answer_record(answer: Answer, model: str) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "question": answer.question,
        "answered": answer.answered,
        "answer": answer.text,
        "language": answer.language,
        "confidence": round(answer.evidence.confidence, 4),
        "threshold": answer.threshold,
        "statements": [
            {"text": one.text, "citations": list(one.numbers), "by_model": one.by_model} for one in answer.statements
        ],
        "citations": [
            {"number": c.number, "source": c.passage.source, "place": c.passage.place, "quote": c.quote}
            | {"stands": c.how, "passage": c.passage.id}
            for c in answer.citations
        ],
        "dropped": list(answer.dropped),
        "absent_words": list(answer.evidence.absent),
        "passages": [{"id": hit.passage.id, "place": hit.passage.place, "score": hit.score} for hit in answer.hits],
        "model": model,
        "notes": list(answer.notes),
        "seconds": answer.seconds,
    }


def _answered(answer: Answer) -> list[Text]:
    from rich.text import Text

    if not any(statement.by_model for statement in answer.statements):
        return [_citation(citation, answer) for citation in answer.citations]
    body = Text()
    for statement in answer.statements:
        numbers = "".join(f"[{number}]" for number in statement.numbers)
        body.append(f"{statement.text} ", "bold").append(numbers, "cyan").append(" ")
    body.rstrip()
    return [body, Text(), *(_citation(citation, answer) for citation in answer.citations)]


def _citation(citation: Citation, answer: Answer) -> Text:
    from rich.text import Text

    quote = " ".join(citation.quote.split())
    line = Text.assemble((f"[{citation.number}] ", "cyan"), (place_of(citation.passage), "bold"), f": “{quote}”")
    if citation.how == "worded":
        line.append(f" ({words(answer.language)['worded']})", "dim")
    return line


def _refused(answer: Answer) -> list[Text]:
    from rich.text import Text

    text = words(answer.language)
    lines = [Text(f"{text['absent']}{'。' if answer.language == 'zh' else '.'}", "bold")]
    if answer.evidence.absent:
        lines.append(Text(text["unknown"] + ", ".join(answer.evidence.absent)))
    if answer.hits:
        lines.append(Text(text["nearest"] + "; ".join(dict.fromkeys(place_of(hit.passage) for hit in answer.hits[:3]))))
    return lines


def _print(lines: Any) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    for line in lines:
        console.print(line)
