"""The rules of a tokenizer for pieces of a rendered conversation."""

from __future__ import annotations

import json
from typing import Any


def piece_rules(text: str, *, first: bool) -> str:
    """The tokenizer for pieces of a rendered conversation.

    It has no post-processor: that adds nothing here, and would trim spaces off the offsets.
    For a piece that does not begin the text, "prepend a space to the first word" is off.
    """
    values = json.loads(text) | {"post_processor": None}
    return json.dumps(values if first else _never_first(values))


def _never_first(value: Any) -> Any:
    if isinstance(value, list):
        return [_never_first(item) for item in value]
    if not isinstance(value, dict) or "vocab" in value:
        return value
    changed = {name: _never_first(item) for name, item in value.items()}
    return changed | {"prepend_scheme": "never"} if changed.get("prepend_scheme") == "first" else changed
