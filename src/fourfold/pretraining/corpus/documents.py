"""What a corpus is made of: documents, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from fourfold.errors import UserError
from fourfold.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text and where it is from."""

    id: str
    """Names the document for good: which split it falls in depends on nothing else."""
    text: str
    source: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    """At least `group` in a built corpus; `date` where it is known."""

    @property
    def group(self) -> str:
        return str(self.meta.get("group", "other"))

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def with_text(self, text: str) -> Self:
        return self if text == self.text else replace(self, text=text)

    def with_meta(self, **meta: Any) -> Self:
        return replace(self, meta={**self.meta, **meta})


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a JSONL file that `build_corpus` wrote; a malformed line is an error that names it."""
    for number, record in read_jsonl(Path(path)):
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise UserError("not a document", where=f"{path}:{number}", expected='an object with "id" and "text"')
        yield Document(
            id=str(record.get("id", number)),
            text=record["text"],
            source=str(record.get("source", path)),
            meta=record.get("meta") or {},
        )
