"""The quickstart as a recipe: TOML text with comments, for a reader to edit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from fourfold.errors import UserError
from fourfold.files import read_text

RECIPES = Path(__file__).parent / "recipes"
Language = Literal["en", "zh"]
TEMPLATES = {"en": RECIPES / "quickstart.toml", "zh": RECIPES / "quickstart.zh.toml"}
"""The quickstart of 12 minutes, with comments in each language."""

SMALL_LSTM = '{ family = "lstm", layers = 1, hidden_size = 256, context = 256 }'
SMALL_DECODER = '{ family = "llama", layers = 4, hidden_size = 192, heads = 3, kv_heads = 1, context = 256 }'
LARGE_LSTM = '{ family = "lstm", layers = 2, hidden_size = 768, context = 256 }'
LARGE_DECODER = '{ family = "llama", layers = 8, hidden_size = 384, heads = 6, kv_heads = 2, context = 512 }'

VARIANTS: dict[int, dict[str, str]] = {
    5: {
        "corpus.text sample_bytes": "16384",
        "pretrain.lstm model": SMALL_LSTM,
        "pretrain.lstm budget": "{ seconds = 12 }",
        "pretrain.decoder model": SMALL_DECODER,
        "pretrain.decoder budget": "{ seconds = 25 }",
        "data.calls examples": "160",
        "data.replay examples": "24",
        "data.brevity examples": "24",
        "tune.tool budget": "{ steps = 20 }",
        "tune.tool_replay budget": "{ steps = 20 }",
        "tune.brief budget": "{ steps = 8 }",
        "evaluate.tuning limit": "16",
        "evaluate.preference limit": "16",
        "evaluate.prompting limit": "8",
        "evaluate.reading limit": "24",
    },
    12: {},
    60: {
        "pretrain.lstm model": LARGE_LSTM,
        "pretrain.lstm budget": "{ seconds = 480 }",
        "pretrain.decoder model": LARGE_DECODER,
        "pretrain.decoder budget": "{ seconds = 1500 }",
        "data.calls examples": "960",
        "data.replay examples": "96",
        "data.brevity examples": "96",
        "tune.tool budget": "{ steps = 110 }",
        "tune.tool_replay budget": "{ steps = 110 }",
        "tune.brief budget": "{ steps = 16 }",
        "evaluate.tuning limit": "96",
        "evaluate.prompting limit": "48",
        "evaluate.reading limit": "100",
    },
}
"""What differs from the file: "section key" to value, by minutes on two cores."""


def quickstart_recipe(minutes: int, data: Path | str | None = None, language: Language = "en") -> str:
    """The recipe of `fourfold quickstart` for 5, 12 or 60 minutes, on our text or on a folder of the user's."""
    if minutes not in VARIANTS:
        raise UserError("no quickstart of that length", expected="5, 12 or 60 minutes", got=minutes)
    if language not in TEMPLATES:
        raise UserError("no quickstart in that language", expected="en or zh", got=language)
    name, changes = f"quickstart-{minutes}", dict(VARIANTS[minutes])
    if data is not None:
        place = Path(data).expanduser().resolve()
        if not place.exists():
            raise UserError("no such folder or file", where=data)
        name = f"{name}-{folder_name(place)}"
        changes["corpus.text sources"] = json.dumps([str(place)], ensure_ascii=False)
        changes["evaluate.reading tasks"] = '["continuation"]'
    changes[" name"] = f'"{name}"'
    return set_values(read_text(TEMPLATES[language]), changes)


def set_values(text: str, changes: dict[str, str]) -> str:
    """The recipe text with other values at "section key"; comments and layout stay."""
    waiting, section, lines = dict(changes), "", []
    for line in text.splitlines():
        if header := re.match(r"\[([^\]]+)\]", line):
            section = header[1]
        parts = re.match(r"(\w+)( *= *)(.*?)(  +#.*)?$", line)
        new = waiting.pop(f"{section} {parts[1]}", None) if parts else None
        lines.append(line if parts is None or new is None else f"{parts[1]}{parts[2]}{new}{parts[4] or ''}")
    if waiting:
        raise ValueError(f"not in the recipe: {', '.join(waiting)}")
    return "\n".join(lines) + "\n"


def folder_name(place: Path) -> str:
    """A name for runs on this folder: its letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", place.stem).strip("-") or "text"
