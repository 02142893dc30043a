"""What the tokenizer makes of languages: unknown tokens, and tokens a character, on a paragraph of each."""

from __future__ import annotations

from collections.abc import Iterator

from fourfold.tokenizers import Tokenizer
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind
from fourfold.workflow.doctor.model import Model

SAMPLES: dict[tuple[str, str], str] = {
    ("English", "英文"): "Most of the people who came to the meeting had read the report before, and they "
    "agreed with it. It had rained all night; the road to the village was closed until noon.",
    ("Chinese", "中文"): "昨天下午，我们在图书馆讨论了这份报告。大多数人已经读过它，"
    "也同意其中的结论，只是对第三部分还有一些疑问。",
    ("code", "代码"): "def mean(values: list[float]) -> float:\n    total = 0.0\n    for value in values:\n"
    "        total += value\n    return total / len(values)\n",
    ("German", "德文"): "Die meisten Leute, die zur Sitzung kamen, hatten den Bericht schon gelesen und "
    "stimmten ihm zu.",
    ("Russian", "俄文"): "Большинство людей, пришедших на встречу, уже прочитали отчёт и согласились с ним.",
    ("Arabic", "阿拉伯文"): "قرأ معظم الناس الذين حضروا الاجتماع التقرير من قبل ووافقوا عليه.",
    ("Japanese", "日文"): "会議に来た人の多くは、すでに報告書を読んでいて、その内容に賛成していました。",
    ("Hindi", "印地文"): "बैठक में आए अधिकतर लोगों ने रिपोर्ट पहले ही पढ़ ली थी और वे उससे सहमत थे।",
}  # fmt: skip
MUCH_UNKNOWN = 0.02
MOST_UNKNOWN = 0.10
DEAR = 2.0
"""Tokens a byte, relative to English, above which a language is hardly readable (see `tokenizers/reading.py`)."""

UNKNOWN_ENGLISH = kind("unknown-tokens")
UNREADABLE = kind("language-unreadable")
COSTLY = kind("language-dear")


def check(model: Model) -> Iterator[Outcome]:
    tokenizer = model.tokenizer
    if tokenizer is None:
        return
    shown, unknown, dear = [], [], []
    english = 0.0
    for (en, zh), text in SAMPLES.items():
        ids = tokenizer.encode_ordinary(text)
        share = unknown_share(tokenizer, ids)
        per_byte = len(ids) / len(text.encode())
        english = english or per_byte
        tail = f" ({share:.0%} ?)" if share else ""
        shown.append(Words(f"{en} {len(ids) / len(text):.2f}{tail}", f"{zh} {len(ids) / len(text):.2f}{tail}"))
        if share > MUCH_UNKNOWN and en == "English":
            yield UNKNOWN_ENGLISH.at(model.where("tokenizer.json"), share=share)
        elif share > MOST_UNKNOWN:
            unknown.append(Words(en, zh))
        elif per_byte > DEAR * english:
            dear.append(Words(en, zh))
    label = Words("tokens a character", "每字符词元数")
    yield Fact("languages", label, Words(", ".join(word.en for word in shown), "，".join(word.zh for word in shown)))
    if unknown:
        yield UNREADABLE.at(model.where("tokenizer.json"), names=joined(unknown))
    if dear:
        yield COSTLY.at(model.where("tokenizer.json"), names=joined(dear))


def joined(names: list[Words]) -> Words:
    return Words(", ".join(name.en for name in names), "、".join(name.zh for name in names))


def unknown_share(tokenizer: Tokenizer, ids: list[int]) -> float:
    """Of the tokens, those that stand for what the vocabulary does not have."""
    unknown = tokenizer.unk_id
    if unknown is None or tokenizer.is_byte_level or not ids:
        return 0.0
    return sum(id == unknown for id in ids) / len(ids)


CHECK: Check[Model] = Check(title=Words("Languages", "语言"), run=check, kinds=(UNKNOWN_ENGLISH, UNREADABLE, COSTLY))
