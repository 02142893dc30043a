"""Number types: what the configuration says, what the files hold, and where float16 is known to overflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fourfold.workflow.doctor.findings import Check, Outcome, Words, kind, listed
from fourfold.workflow.doctor.model import Model

NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}
TRAINED_IN_BF16 = frozenset({"t5", "mt5", "umt5", "gemma", "gemma2", "gemma3", "gemma3_text"})
"""Families whose activations are known to leave float16's range."""

DIFFERS = kind("dtype-differs")
MIXED = kind("dtype-mixed")
RISK = kind("fp16-risk")


def check(model: Model) -> Iterator[Outcome]:
    if model.form == "gguf":
        return
    said = str(model.config.get("dtype", model.config.get("torch_dtype", ""))).removeprefix("torch.")
    matrices = {name: entry.type for name, entry in model.entries.items() if entry.is_matrix and entry.is_number}
    types = Counter(matrices.values())
    if not types:
        return
    most = types.most_common(1)[0][0]
    others = [name for name, type in matrices.items() if type != most and not name.endswith(("_scale", "scales"))]
    if others and "weights-packed" not in {trouble.kind.code for trouble in model.troubles}:
        kinds = ", ".join(sorted({matrices[name] for name in others}))
        yield MIXED.at(others[0], most=most, other=kinds, count=len(others), names=listed(others))
    if said == "float16" and model.kind in TRAINED_IN_BF16:
        yield RISK.at("config.json", kind=model.kind)
    elif said in NAMES and NAMES[said] != most and not others:
        yield DIFFERS.at("config.json", said=said, stored=most)


CHECK: Check[Model] = Check(title=Words("Number types", "数值类型"), run=check, kinds=(DIFFERS, MIXED, RISK))
