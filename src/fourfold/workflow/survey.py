"""Look at a folder and write a recipe that fits it and the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fourfold.errors import UserError
from fourfold.workflow.machine import available_cores, memory_bytes
from fourfold.workflow.quickstart import quickstart_recipe, set_values

READABLE = frozenset({".txt", ".md", ".jsonl", ".html", ".htm"})
"""Endings of the files a corpus reads."""
LOOK_BYTES = 4096
LOOK_FILES = 200
SMALL_TEXT = 2_000_000
"""Bytes below which a small decoder has nothing to learn from beyond a few passes."""
LITTLE_MEMORY = 6 * 2**30


@dataclass(frozen=True, kw_only=True)
class FolderSummary:
    """What a folder holds, seen from outside."""

    folder: Path
    files: dict[str, int]
    """Files by ending, the most frequent first."""
    sizes: dict[str, int]
    """Bytes by ending."""
    han_share: float
    """Share of Han characters among the letters of a sample."""

    @property
    def readable_bytes(self) -> int:
        return sum(size for ending, size in self.sizes.items() if ending in READABLE)

    @property
    def language(self) -> str:
        """`zh` or `en` when one of them clearly rules, else `mixed`."""
        if self.han_share > 0.7:
            return "zh"
        return "en" if self.han_share < 0.05 else "mixed"

    def sentences(self) -> list[str]:
        """The summary in words, one line each."""
        counts = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in self.files.items())
        left_out = sum(count for ending, count in self.files.items() if ending not in READABLE)
        lines = [f"files: {counts}", f"readable text: {self.readable_bytes / 1e6:.1f} MB, mostly {self.language}"]
        if left_out:
            lines.append(f"{left_out} files have an ending that is not read ({', '.join(sorted(READABLE))} are)")
        return lines


def describe_folder(folder: Path | str) -> FolderSummary:
    """Count the files of a folder and look into some of them."""
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UserError("no such folder", where=folder)
    files = sorted(file for file in place.rglob("*") if file.is_file() and not hidden(file.relative_to(place)))
    if not files:
        raise UserError("the folder holds no files", where=folder)
    count, size = Counter[str](), Counter[str]()
    for file in files:
        count[file.suffix.lower()] += 1
        size[file.suffix.lower()] += file.stat().st_size
    readable = [file for file in files if file.suffix.lower() in READABLE]
    if not readable:
        endings = ", ".join(f"{number} {ending or 'without ending'}" for ending, number in count.most_common(5))
        raise UserError("no readable document", where=folder, expected=", ".join(sorted(READABLE)), got=endings)
    return FolderSummary(
        folder=place,
        files=dict(count.most_common()),
        sizes=dict(size),
        han_share=han_share(readable[:: max(1, len(readable) // LOOK_FILES)]),
    )


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def han_share(files: Iterable[Path]) -> float:
    """Share of Han characters among the letters at the start of these files, whatever their encoding."""
    han = letters = 0
    for file in files:
        with open(file, "rb") as stream:
            text = decode(stream.read(LOOK_BYTES))
        letters += sum(character.isalpha() for character in text)
        han += sum("\u4e00" <= character <= "\u9fff" for character in text)
    return han / max(1, letters)


def decode(data: bytes) -> str:
    """A first look only: the corpus stage detects encodings properly."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="ignore")
    try:
        return data[: data.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("gb18030", errors="ignore")


def init_recipe(folder: Path | str, cores: int | None = None, memory: int | None = None) -> str:
    """A commented recipe for a folder, sized for the machine (by default this one)."""
    summary = describe_folder(folder)
    cores, memory = cores or available_cores(), memory or memory_bytes() or LITTLE_MEMORY
    minutes = 5 if summary.readable_bytes < SMALL_TEXT or memory < LITTLE_MEMORY else 12
    language = "zh" if summary.language == "zh" else "en"
    text = quickstart_recipe(minutes, data=summary.folder, language="zh" if language == "zh" else "en")
    if summary.readable_bytes < SMALL_TEXT:
        text = set_values(text, {"tokenizer.bpe vocabulary_size": "2048"})
    remarks = [
        *summary.sentences(),
        f"this machine: {cores} cores, {memory / 2**30:.1f} GB of memory; sizes are those of about {minutes} minutes",
        "more seconds in the budgets of [pretrain.…] make better models; the rest keeps its time",
    ]
    return "".join(f"# {remark}\n" for remark in remarks) + "#\n" + text
