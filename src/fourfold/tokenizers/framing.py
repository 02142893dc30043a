"""A tokenizer's own rule: what it puts around a text and between two."""

from __future__ import annotations

from tokenizers.processors import TemplateProcessing

from fourfold.errors import UserError
from fourfold.tokenizers.tokenizer import Tokenizer


def framed(tokenizer: Tokenizer, *, start: str | None = None, end: str) -> Tokenizer:
    """The same vocabulary with `encode` giving `start text end`, and of two texts `start first end second end`.

    Tokens of the second text are of segment 1. A template for conversations is not kept: its rendering
    would be framed as well.
    """
    core = tokenizer.core_copy()
    names = [name for name in (start, end) if name is not None]
    ids = {name: core.token_to_id(name) for name in names}
    missing = [name for name, id in ids.items() if id is None]
    if missing:
        raise UserError(f"the tokenizer has no {' and no '.join(missing)}")
    before = [] if start is None else [f"{start}:0"]
    core.post_processor = TemplateProcessing(
        single=[*before, "$A:0", f"{end}:0"],
        pair=[*before, "$A:0", f"{end}:0", "$B:1", f"{end}:1"],
        special_tokens=list(ids.items()),
    )
    special = {name: _name(tokenizer, id) for name, id in _named_ids(tokenizer).items()}
    mask = _name(tokenizer, tokenizer.mask_id)
    extra = {} if mask is None else {"mask_token": mask}
    if start is not None:
        extra |= {"cls_token": start, "sep_token": end}
    return Tokenizer(core, **special, extra=extra)


def _named_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    return {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "pad": tokenizer.pad_id, "unk": tokenizer.unk_id}


def _name(tokenizer: Tokenizer, id: int | None) -> str | None:
    return None if id is None else tokenizer.token_bytes(id).decode()
